"""Which mesh, which services, what is allowed? The values of `chaos.yaml`; `chaos.run.topology` reads the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalWorkload:
    """How to start one image of the manifests as an ordinary process of this machine."""

    command: tuple[str, ...]
    """`python` is the interpreter that runs pytest; `{host}` and `{port}` are filled in per instance."""
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """The embedded mesh: what it runs."""

    manifests: tuple[Path, ...] = ()
    workloads: Mapping[str, LocalWorkload] = field(default_factory=dict)
    """By image name, with or without registry and tag."""
    mesh_config: Mapping[str, object] = field(default_factory=dict)
    """Istio MeshConfig, where it differs from Istio's defaults."""
    istio: str | None = None
    """Minor version whose configuration the proxies get: `1.29`. None: the one the translation was measured against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where user requests enter."""

    service: str
    namespace: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A named place to run against."""

    context: str
    namespace: str | None = None
    entry: str | None = None
    prometheus: str | None = None
    """Address of the Prometheus that scrapes the mesh's proxies, as this machine reaches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen for one run, over what the topology says of clusters."""

    target: str | None = None
    """A name under `targets`."""
    context: str | None = None
    namespace: str | None = None
    kubeconfig: Path | None = None
    production: bool = False
    """Real users may be met."""
    plan: bool = False
    """Nothing is to be changed: a mesh that a run would be refused on is looked at all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """The guard: what may be touched, and how hard."""

    contexts: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    max_percent: float = 100.0
    max_duration: float = 600.0
    """Seconds."""
    max_rate: float = 500.0
    """Requests per second of one load."""
    traffic: tuple[str, ...] = ("own",)
    without_reaper: bool = False
    """Inject on a cluster although nobody there would clean up after a machine that was lost."""

    def namespace(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.namespaces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """All of one chaos.yaml. `file` is where it was read from; its folder is what paths are relative to."""

    file: Path
    entry: Entry
    local: Local | None = None
    targets: Mapping[str, Target] = field(default_factory=dict)
    allow: Allow = field(default_factory=Allow)
