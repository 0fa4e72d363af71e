"""What does chaos.yaml say? Reads the topology; refuses what it cannot mean with file, line, key and the nearest valid spelling."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from chaos.errors import ChaosError, InvalidValue, TopologyError
from chaos.istio.documents import positioned
from chaos.istio.world import DEFAULT_PROFILE, PROFILES
from chaos.model import topology as model
from chaos.model import units

NAME = "chaos.yaml"


def find(start: Path, root: Path) -> Path | None:
    """The nearest chaos.yaml in `start` or above it, up to `root`."""
    for folder in [start, *start.parents]:
        if (folder / NAME).is_file():
            return folder / NAME
        if folder == root:
            return None
    return None


def load(file: Path) -> model.Topology:
    """Read and check one topology file. Raises TopologyError."""
    file = file.resolve()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TopologyError(f"{file}: cannot be read: {error}") from error
    try:
        documents = list(positioned(text, file))
    except ChaosError as error:
        raise TopologyError(str(error)) from error
    if len(documents) != 1 or not isinstance(documents[0][0], dict):
        raise TopologyError(f"{file}: a topology is one YAML mapping with the key entry, and local or targets")
    raw, lines = documents[0]
    try:
        read = _File.model_validate(raw)
    except ValidationError as error:
        raise TopologyError(_told(error, file, lines)) from error
    if read.local is None and not read.targets:
        raise TopologyError(f"{file}:1: neither local nor targets: say what the local mesh runs, or which clusters there are")
    topology = read.topology(file)
    if missing := "\n".join(_missing(topology, lines)):
        raise TopologyError(missing)
    return topology


# ---------------------------------------------------------------------------------------------- the file's shape
def _duration(value: Any) -> float:
    return units.duration(value, name="allow.max_duration").total_seconds()


def _rate(value: Any) -> float:
    return units.rate(value, name="allow.max_rate")


def _percent(value: Any) -> float:
    return units.percentage(value, name="allow.max_percent")


def _minor(value: Any) -> str:
    if isinstance(value, float):
        raise InvalidValue(f'local.istio is {value}: write it in quotes, "{DEFAULT_PROFILE}"; YAML takes 1.30 for the number 1.3')
    if value not in PROFILES:
        raise InvalidValue(f"local.istio is {value!r}: the minor versions of Istio known here are {PROFILES[0]} to {PROFILES[-1]}")
    return str(value)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Workload(_Strict):
    command: list[str] = Field(min_length=1)
    cwd: str = "."
    env: dict[str, str] = {}

    def value(self, base: Path) -> model.LocalWorkload:
        return model.LocalWorkload(command=tuple(self.command), cwd=(base / self.cwd).resolve(), env=self.env)


class _Local(_Strict):
    manifests: list[str] = Field(min_length=1)
    workloads: dict[str, _Workload] = {}
    mesh_config: dict[str, Any] = {}
    istio: Annotated[str | None, BeforeValidator(_minor)] = None

    def value(self, base: Path) -> model.Local:
        return model.Local(
            manifests=tuple((base / path).resolve() for path in self.manifests),
            workloads={image: workload.value(base) for image, workload in self.workloads.items()},
            mesh_config=self.mesh_config,
            istio=self.istio,
        )


class _Entry(_Strict):
    service: str
    namespace: str = "default"
    port: int = Field(ge=1, le=65535)


def _address(value: Any) -> str:
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidValue(f'{value!r} is no address of a server: write "http://prometheus.example:9090"')
    return str(value)


class _Target(_Strict):
    context: str
    namespace: str | None = None
    entry: str | None = None
    prometheus: Annotated[str | None, BeforeValidator(_address)] = None


class _Allow(_Strict):
    contexts: list[str] = []
    namespaces: list[str] | None = None
    max_percent: Annotated[float, BeforeValidator(_percent)] = 100.0
    max_duration: Annotated[float, BeforeValidator(_duration)] = 600.0
    max_rate: Annotated[float, BeforeValidator(_rate)] = 500.0
    traffic: list[Literal["own", "all"]] = ["own"]
    without_reaper: bool = False


class _File(_Strict):
    entry: _Entry
    local: _Local | None = None
    targets: dict[str, _Target] = {}
    allow: _Allow = _Allow()

    def topology(self, file: Path) -> model.Topology:
        allow = self.allow
        return model.Topology(
            file=file,
            entry=model.Entry(**self.entry.model_dump()),
            local=self.local.value(file.parent) if self.local else None,
            targets={name: model.Target(**target.model_dump()) for name, target in self.targets.items()},
            allow=model.Allow(
                contexts=tuple(allow.contexts),
                # Without a list the entry's own namespace is meant, and no other.
                namespaces=tuple(allow.namespaces if allow.namespaces is not None else [self.entry.namespace]),
                max_percent=allow.max_percent,
                max_duration=allow.max_duration,
                max_rate=allow.max_rate,
                traffic=tuple(allow.traffic),
                without_reaper=allow.without_reaper,
            ),
        )


# ---------------------------------------------------------------------------------------------- errors
def _told(error: ValidationError, file: Path, lines: Mapping[tuple[str | int, ...], int]) -> str:
    return "\n".join(_one(dict(each), file, lines) for each in error.errors())


def _one(error: Mapping[str, Any], file: Path, lines: Mapping[tuple[str | int, ...], int]) -> str:
    where = tuple(error["loc"])
    path = where
    while path and path not in lines:
        path = path[:-1]
    place = f"{file}:{lines.get(path, 1)}: {_dotted(where)}"
    match error["type"]:
        case "extra_forbidden":
            return f"{place}: no such key{_nearest_key(where)}"
        case "missing":
            return f"{place}: is missing"
        case "value_error":
            return f"{file}:{lines.get(path, 1)}: {error['ctx']['error']}"  # InvalidValue: it names key and value
        case kind:
            meant = _MEANT.get(kind) or error["msg"][:1].lower() + error["msg"][1:]
            return f"{place} is {_shown(error['input'])}: {meant}"


_MEANT = {
    "list_type": "write a list, [...]",
    "dict_type": "write a mapping, {...}",
    "model_type": "write a mapping, {...}",
    "string_type": "write a text, in quotes where it looks like a number",
    "int_type": "write a whole number, without quotes",
}
"""What a value of pydantic's error type should have been, in the words of YAML."""


def _missing(topology: model.Topology, lines: Mapping[tuple[str | int, ...], int]) -> Iterator[str]:
    """Files and folders that are named and are not there."""
    local = topology.local or model.Local()
    for index, path in enumerate(local.manifests):
        if not path.exists():
            line = lines.get(("local", "manifests", index), 1)
            yield f"{topology.file}:{line}: local.manifests[{index}]: there is no file or folder {path}"
    for image, workload in local.workloads.items():
        if not workload.cwd.is_dir():
            line = lines.get(("local", "workloads", image, "cwd"), 1)
            yield f"{topology.file}:{line}: local.workloads.{image}.cwd: there is no folder {workload.cwd}"


def _dotted(where: tuple[str | int, ...]) -> str:
    return re.sub(r"\.\[", "[", ".".join(f"[{p}]" if isinstance(p, int) else p for p in where))


def _shown(value: object) -> str:
    text = f"{value}" if isinstance(value, timedelta) else repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def _nearest_key(where: tuple[str | int, ...]) -> str:
    known = _keys_at(where[:-1])
    close = difflib.get_close_matches(str(where[-1]), known, n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else f"; there are: {', '.join(sorted(known))}"


def _keys_at(where: tuple[str | int, ...]) -> list[str]:
    shapes: dict[int, dict[str, type[_Strict]]] = {1: {"entry": _Entry, "local": _Local, "allow": _Allow}}
    if not where:
        return list(_File.model_fields)
    if len(where) == 1:
        shape: type[_Strict] = shapes[1].get(str(where[0]), _File)
    else:
        shape = _Workload if where[0] == "local" else _Target
    return list(shape.model_fields)
