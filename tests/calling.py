"""What does a sidecar do to calls of its application? A mesh of callees, one caller, and what both ends wrote down of each call.

The caller is the load workload's sidecar. Behind every service stand the same two pods, v1 and v2 (`tests.callee`): a service is
only a name with rules of its own, so that one small mesh serves a whole module of tests side by side.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
import yaml

from chaos.clock import Deadline, poll
from chaos.mesh.local.addresses import ADMIN_PORT, Endpoint
from chaos.mesh.local.admin import Admin
from chaos.mesh.local.mesh import LocalMesh
from chaos.mesh.port import Pod
from chaos.model.topology import Allow, Entry, Local, LocalWorkload, Topology

NAMESPACE = "shop"
PORT = 80
APPLICATION_PORT = 9000
VERSIONS = ("v1", "v2")
"""Of the callee: each a workload with one pod of this name."""
PROGRAM = Path(__file__).with_name("callee.py")
FLAWED = Path(__file__).with_name("flawed.py")
TIMER = 0.9
"""Of its time an Envoy timer takes at least so much: it counts from the loop's last look at the clock (measured: 4 ms early)."""
PATIENCE = 10.0
"""Seconds until a test gives up; nothing waits that long when it works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callee:
    """A service in front of pods v1 and v2, and what its owner wrote for its callers."""

    name: str
    http: str = ""
    """YAML: the rules of its VirtualService; none without. A rule without any action routes to the service itself."""
    policy: str = ""
    """YAML: the trafficPolicy of its DestinationRule, which has the subsets v1 and v2 in any case."""
    pods: str = "app: callee"
    """YAML: its selector."""
    port: str = "http"
    """Name of its port, which says the protocol."""

    def objects(self) -> Iterator[dict[str, Any]]:
        ports = [{"name": self.port, "port": PORT, "targetPort": APPLICATION_PORT}]
        yield _object("v1", "Service", self.name, {"selector": yaml.safe_load(self.pods), "ports": ports})
        subsets = [{"name": version, "labels": {"version": version}} for version in VERSIONS]
        rule = {"host": self.name, "subsets": subsets, **({"trafficPolicy": yaml.safe_load(self.policy)} if self.policy else {})}
        yield _object("networking.istio.io/v1", "DestinationRule", self.name, rule)
        rules = yaml.safe_load(self.http) or []
        if rules:
            own = [{"route": [{"destination": {"host": self.name}}]} for _ in rules]
            acting = [rule if _ACTIONS & rule.keys() else {**rule, **to_self} for rule, to_self in zip(rules, own, strict=True)]
            yield _object("networking.istio.io/v1", "VirtualService", self.name, {"hosts": [self.name], "http": acting})


_ACTIONS = {"route", "redirect", "directResponse", "delegate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One call, as the caller's application saw it and as the proxies wrote it down."""

    status: int
    headers: Mapping[str, str]
    body: Any
    """What JSON says, else text."""
    line: Mapping[str, Any] = field(default_factory=dict)
    """Of the caller's sidecar: `chaos.mesh.local.access_log.FIELDS`."""

    @property
    def flags(self) -> Set[str]:
        return frozenset(self.line["flags"].split(",")) - {"-"}

    @property
    def outcome(self) -> tuple[int, str, str]:
        """(status, flags, details): how Envoy signs what it has done."""
        return self.status, ",".join(sorted(self.flags)), self.line["details"]

    @property
    def attempts(self) -> int:
        return int(self.line["attempts"])

    @property
    def pod(self) -> str:
        return str(self.body["pod"])


class Caller:
    """Calls services through the load workload's sidecar."""

    def __init__(self, topology: Topology, mesh: LocalMesh, admin: Admin) -> None:
        self.topology = topology
        self.mesh = mesh
        self.pod = mesh.entry[0]
        self.admin = admin
        self._numbers = itertools.count(1)
        self._reading = Lock()
        self._offset = 0
        self._lines: dict[str, Any] = {}

    def get(self, service: str, path: str = "/", **headers: str) -> Answer:
        """One call. Header names are written with underscores."""
        return self.several(service, path, 1, **headers)[0]

    def several(self, service: str, path: str, count: int, **headers: str) -> list[Answer]:
        """One after the other, on one connection."""
        with closing(self._connection(service)) as connection:
            return self._with_lines([self._call(connection, service, path, headers) for _ in range(count)])

    def at_once(self, calls: Sequence[tuple[str, str]]) -> list[Answer]:
        """(service, path) each on a connection of its own."""
        with ThreadPoolExecutor(len(calls)) as threads:
            return self._with_lines(list(threads.map(lambda call: self._alone(*call), calls)))

    def beside_a_held_one(
        self, service: str, count: int, *, early: int, path: str = "/", held: str = "/hold"
    ) -> tuple[list[Answer], list[Answer]]:
        """One call is held by the application while `count` others are sent; it is released when `early` of them are answered.

        Returns those, and the others with the held one.
        """
        with ThreadPoolExecutor(count + 1) as threads:
            first = threads.submit(self._alone, service, held)
            assert poll(lambda: self._held(service) > 0, deadline=Deadline.after(PATIENCE))
            calls = [threads.submit(self._alone, service, path) for _ in range(count)]
            try:
                soon = list(islice(as_completed(calls), early))
            finally:
                self._tell(service, "/release")
            late = [call for call in calls if call not in soon]
            answers = self._with_lines([call.result() for call in (*soon, *late, first)])
        return answers[:early], answers[early:]

    def counter(self, service: str, name: str, subset: str = "") -> int:
        """A statistic of the caller's cluster for this service; 0 if it was never written."""
        cluster = rf"cluster\.outbound\|{PORT}\|{subset}\|{service}\.{NAMESPACE}\.svc\.cluster\.local;?\.{name}"
        return sum(self.mesh.counters(self.pod, f"^{cluster}$").values())

    def ejected(self, service: str) -> int:
        """How many hosts the caller's sidecar has ejected."""
        cluster = f"outbound|{PORT}||{service}.{NAMESPACE}.svc.cluster.local"
        return sum(host.ejected for host in self.mesh.hosts(self.pod, cluster))

    def callee_line(self, pod: str, traceparent: str) -> Mapping[str, Any] | None:
        """What the sidecar of `v1` or `v2` has written down of a call so far; None where nothing."""
        callee = next(p for p in self.mesh.pods() if p.name == pod)
        self.mesh.flush_logs([callee])
        lines = map(json.loads, self.mesh.read_log(callee, 0)[0].splitlines())
        return next((line for line in lines if line.get("traceparent") == traceparent), None)

    # -- for other protocols
    def endpoint(self, service: str) -> Endpoint:
        """Where the caller's sidecar listens for calls of this service."""
        found = next(s for s in self.mesh.services() if s.name == service)
        host, _, port = self.mesh.address(found).url.removeprefix("http://").partition(":")
        return Endpoint(host, int(port))

    def new_trace(self) -> str:
        """A traceparent that nobody else has."""
        return f"00-{next(self._numbers):032x}-0123456789abcdef-01"

    def line(self, traceparent: str) -> Mapping[str, Any]:
        """What the caller's sidecar wrote down of a call that has been answered."""
        with self._reading:
            if traceparent not in self._lines:
                self.mesh.flush_logs([self.pod])
                written, self._offset = self.mesh.read_log(self.pod, self._offset)
                lines = map(json.loads, written.splitlines())
                self._lines |= {line.get("traceparent"): line for line in lines if line["istio_chaos"] == "sidecar"}
            found: Mapping[str, Any] = self._lines[traceparent]
            return found

    # -- in detail
    def _connection(self, service: str) -> HTTPConnection:
        where = self.endpoint(service)
        return HTTPConnection(where.address, where.port, timeout=PATIENCE)

    def _call(self, connection: HTTPConnection, service: str, path: str, headers: Mapping[str, str]) -> tuple[str, Answer]:
        trace = self.new_trace()
        written = {name.replace("_", "-"): value for name, value in headers.items()}
        return trace, ask(connection, path, {"host": service, "traceparent": trace, **written})

    def _alone(self, service: str, path: str) -> tuple[str, Answer]:
        with closing(self._connection(service)) as connection:
            return self._call(connection, service, path, {})

    def _with_lines(self, calls: Iterable[tuple[str, Answer]]) -> list[Answer]:
        return [replace(answer, line=self.line(trace)) for trace, answer in calls]

    def _held(self, service: str) -> int:
        return sum(answer.body["held"] for answer in self._tell(service, "/held"))

    def _tell(self, service: str, path: str) -> list[Answer]:
        """Ask both applications, past all sidecars."""
        return [self._tell_one(pod, service, path) for pod in self.mesh.pods() if pod.name in VERSIONS]

    def _tell_one(self, pod: Pod, service: str, path: str) -> Answer:
        with closing(HTTPConnection(application(pod), APPLICATION_PORT, timeout=PATIENCE)) as connection:
            return ask(connection, path, {"host": service})


def ask(connection: HTTPConnection, path: str, headers: Mapping[str, str]) -> Answer:
    """One GET."""
    connection.request("GET", path, headers=dict(headers))
    response = connection.getresponse()
    body = response.read().decode()
    told = {name.lower(): value for name, value in response.getheaders()}
    return Answer(status=response.status, headers=told, body=json.loads(body) if body.startswith("{") else body)


def application(pod: Pod) -> str:
    """The address at which the application of a pod listens, behind its sidecar."""
    return f"{pod.ip.rpartition('.')[0]}.2"


def expected(count: int, share: float) -> Any:
    """Equal to what `count` independent draws give, within six standard deviations: wrong once in half a billion."""
    return pytest.approx(count * share, abs=6 * math.sqrt(count * share * (1 - share)))


@contextmanager
def calling(folder: Path, callees: Sequence[Callee], more: str = "", program: Path = PROGRAM) -> Iterator[Caller]:
    """A mesh of these services, of pods v1 and v2, and of further manifests, until the block ends."""
    topology = shop(folder, callees, more, program)
    mesh = LocalMesh.start(topology, folder=folder / "mesh", run="0123456789ab", spawned=lambda *_: None)
    with closing(mesh), closing(Admin("the caller's sidecar", Endpoint(mesh.entry[0].ip, ADMIN_PORT))) as admin:
        yield Caller(topology, mesh, admin)


def shop(folder: Path, callees: Sequence[Callee], more: str = "", program: Path = PROGRAM) -> Topology:
    """The topology of such a mesh; its manifests are written to `folder`."""
    written = [*_pods(), *(o for callee in callees for o in callee.objects()), *yaml.safe_load_all(more)]
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump_all(written))
    return Topology(
        file=folder / "chaos.yaml",
        entry=Entry(service=callees[0].name, namespace=NAMESPACE, port=PORT),
        local=Local(
            manifests=(file,),
            workloads={
                "callee": LocalWorkload(command=("python", str(program)), cwd=folder),
                "flawed": LocalWorkload(command=("python", str(FLAWED)), cwd=folder),
            },
        ),
        allow=Allow(namespaces=(NAMESPACE,)),
    )


def flawed(*names: str) -> str:
    """Further manifests: pods with these names, labelled `app: NAME`, that run `tests.flawed`."""
    return yaml.safe_dump_all([_pod(name, "flawed", app=name) for name in names])


def _pods() -> Iterator[dict[str, Any]]:
    for version in VERSIONS:
        yield _pod(version, "callee", app="callee", version=version)


def _pod(name: str, image: str, **labels: str) -> dict[str, Any]:
    containers = [{"name": image, "image": image, "ports": [{"containerPort": APPLICATION_PORT}]}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    return _object("apps/v1", "Deployment", name, {"template": template})


def _object(api: str, kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": dict(spec)}
