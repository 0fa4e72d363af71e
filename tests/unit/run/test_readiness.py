"""What every mesh can be asked before anybody experiments there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.errors import Unreachable
from chaos.injection.names import REAPER
from chaos.model.edge import Edge
from chaos.model.inventory import Pod, Service, ServicePort
from chaos.model.readiness import Finding, Severity
from chaos.model.topology import Topology
from chaos.run import readiness
from chaos.run.readiness import Look, examine, refusal, summary
from chaos.testing.mesh import FakeMesh
from tests.meshes import MANIFESTS, topology

Looked = Callable[..., list[tuple[str, str, str]]]


class Changed(FakeMesh):
    """With other pods and services than its manifests make."""

    def __init__(self, of: Topology, change: Callable[[Pod], Pod | None]) -> None:
        super().__init__(of)
        self.change = change
        self.more: tuple[Service, ...] = ()

    def pods(self) -> list[Pod]:
        return [changed for pod in super().pods() if (changed := self.change(pod)) is not None]

    def services(self) -> list[Service]:
        return [*super().services(), *self.more]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., Changed]]:
    with ExitStack() as stack:

        def make(change: Callable[[Pod], Pod | None] = lambda pod: pod, manifests: str = MANIFESTS) -> Changed:
            mesh = Changed(topology(tmp_path, manifests=manifests), change)
            stack.callback(mesh.close)
            return mesh

        yield make


def looked(mesh: FakeMesh, *edges: str, check: str = "", **allow: object) -> list[Finding]:
    of = topology(mesh._topology.file.parent)
    of = replace(of, allow=replace(of.allow, namespaces=("shop",), **allow))  # type: ignore[arg-type]
    found = examine(Look(mesh, of, [Edge.of(edge) for edge in edges]))
    return [finding for finding in found if not check or finding.check == check]


def test_a_mesh_in_order_has_nothing_but_its_tcp_port(made: Callable[..., Changed]) -> None:
    (found,) = looked(made())

    assert (found.check, found.severity, found.where) == ("protocols", Severity.INFO, "service/store.shop:7000")
    assert refusal([found]) == summary([found]) == ""


def test_pods_without_a_sidecar_are_counted_by_workload(made: Callable[..., Changed]) -> None:
    mesh = made(lambda pod: replace(pod, proxy=False) if pod.name == "store-1" else pod)
    (found,) = looked(mesh, check="sidecars")

    assert (found.severity, found.where) == (Severity.WARNING, "workload/store.shop")
    assert found.what == "1 of its 2 pods have no sidecar (store-1.shop)"


def test_a_service_without_pods_is_an_error_where_load_enters(made: Callable[..., Changed]) -> None:
    nobody = made(lambda pod: None if pod.workload in ("store", "web") else pod)

    assert {(f.where, f.severity) for f in looked(nobody, check="endpoints")} == {
        ("service/web.shop", Severity.ERROR),
        ("service/store.shop", Severity.WARNING),
    }
    assert "service/web.shop: no pod stands behind it" in refusal(looked(nobody))
    assert summary(looked(nobody)) == "1 error, 1 warning"


def test_a_port_of_which_nobody_says_what_it_carries(made: Callable[..., Changed]) -> None:
    mesh = made(manifests=MANIFESTS.replace("{name: http, port: 80,", "{name: main, port: 80,"))
    found = {f.where: f for f in looked(mesh, check="protocols")}

    assert found["service/store.shop:80"].severity is Severity.WARNING
    assert "appProtocol" in found["service/store.shop:80"].remedy


def test_an_entry_that_carries_no_http_is_an_error(made: Callable[..., Changed]) -> None:
    mesh = made(manifests=MANIFESTS.replace("{name: http, port: 8080}", "{name: tcp-main, port: 8080}"))

    (found,) = [f for f in looked(mesh, check="protocols") if f.where == "service/web.shop:8080"]
    assert (found.severity, found.what) == (Severity.ERROR, "carries TCP")


def test_headless_services_are_told(made: Callable[..., Changed]) -> None:
    mesh = made()
    port = ServicePort(number=80, name="http", protocol="HTTP")
    host = "one.shop.svc.cluster.local"
    mesh.more = (Service(name="one", namespace="shop", host=host, ports=(port,), selector={"app": "web"}, headless=True),)

    (found,) = looked(mesh, check="endpoints")
    assert (found.severity, found.what) == (Severity.INFO, "is headless")


def test_labels_that_select_others_as_well(made: Callable[..., Changed]) -> None:
    shared = made(lambda pod: replace(pod, labels={"app": "all"}) if pod.workload in ("web", "store") else pod)
    found = {(f.where, f.severity): f.what for f in looked(shared, check="labels")}

    assert found["workload/web.shop", Severity.WARNING] == "its labels also select store-0.shop"
    assert found["workload/web.shop", Severity.INFO] == "has no label version"
    assert ("workload/istio-chaos-load.shop", Severity.INFO) not in found


def test_edges_are_planned_and_nothing_is_written(made: Callable[..., Changed]) -> None:
    mesh = made()
    found = {f.where: f for f in looked(mesh, "web -> store", "web -> nobody", "store -> web", check="edges")}

    assert found["edge/web -> store"].severity is Severity.INFO
    assert found["edge/web -> store"].what == "starts at web.shop (1 pod)"
    assert found["edge/store -> web"].what == "starts at store.shop (2 pods)"
    assert found["edge/web -> nobody"].severity is Severity.ERROR
    assert found["edge/web -> nobody"].what.startswith('no service "nobody"')
    assert not mesh.ours()


def test_a_caller_without_sidecar_is_an_edge_that_is_refused(made: Callable[..., Changed]) -> None:
    mesh = made(lambda pod: replace(pod, proxy=False) if pod.workload == "web" else pod)

    (found,) = looked(mesh, "web -> store", check="edges")
    assert found.severity is Severity.ERROR
    assert "has no sidecar" in found.what


def test_the_stop_switch_is_an_error(made: Callable[..., Changed]) -> None:
    mesh = made()
    mesh.stop = "sale until Monday"

    (found,) = looked(mesh, check="stop-switch")
    assert (found.severity, found.what) == (Severity.ERROR, "the stop switch is set: sale until Monday")


def test_a_shared_mesh_needs_a_reaper_unless_the_topology_says_otherwise(made: Callable[..., Changed]) -> None:
    mesh = made()
    assert looked(mesh, check="reaper") == []  # what is written there ends with us
    mesh.reach = {"context": "staging"}

    (found,) = looked(mesh, check="reaper")
    assert found.severity is Severity.ERROR
    assert "no reaper looks after namespace shop" in found.what
    assert "without_reaper: true" in found.remedy
    assert [f.severity for f in looked(mesh, check="reaper", without_reaper=True)] == [Severity.INFO]

    mesh.leases.acquire("shop", REAPER, "the reaper", valid=20)
    assert looked(mesh, check="reaper") == []


def test_a_question_that_cannot_be_answered_keeps_no_other_from_being_asked(
    made: Callable[..., Changed], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(_: Look) -> Iterator[Finding]:
        raise Unreachable("nobody answers")
        yield

    mesh = made()
    checks = {"first": unanswered, **readiness.CHECKS}
    found = list(examine(Look(mesh, topology(mesh._topology.file.parent)), checks))

    assert (found[0].check, found[0].severity, found[0].what) == ("first", Severity.WARNING, "could not be asked: nobody answers")
