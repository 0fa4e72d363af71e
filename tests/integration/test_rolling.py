"""Do manifests change while a mesh runs, and is no request lost? Real Envoys under load, real processes that come and go."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos import abort, expect
from chaos.clock import Deadline, poll
from chaos.errors import Aborted, Inconclusive, ManifestError, MeshFailure, TopologyError
from chaos.istio.documents import Document, read_text
from chaos.mesh.local.mesh import LocalMesh
from chaos.mesh.port import Resource
from chaos.model.topology import Allow, LocalWorkload
from tests.calling import APPLICATION_PORT, Callee, Caller, ask, calling
from tests.meshes import MANIFESTS, envoy_filter, get, route_in_front, topology
from tests.runs import experiment, opened

PATIENCE = 20.0
STORE = "store.shop.svc.cluster.local"
BROKEN = "shop/broken"
"""An image whose program says why it cannot start, and exits."""


@dataclass(slots=True)
class Groups:
    """Which processes were started."""

    started: dict[int, str] = field(default_factory=dict)

    def __call__(self, group: int, what: str) -> None:
        self.started[group] = what

    def alive(self) -> list[str]:
        return sorted(what for group, what in self.started.items() if Path(f"/proc/{group}/stat").exists())


@pytest.fixture(scope="module")
def groups() -> Groups:
    return Groups()


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, groups: Groups) -> Iterator[LocalMesh]:
    folder = tmp_path_factory.mktemp("rolling")
    wanted = topology(folder)
    assert wanted.local is not None
    broken = LocalWorkload(command=("python", "-S", "-c", "raise SystemExit('no database')"), cwd=folder)
    local = replace(wanted.local, workloads={**wanted.local.workloads, BROKEN: broken})
    with closing(LocalMesh.start(replace(wanted, local=local), folder=folder / "run", run="0123456789ab", spawned=groups)) as mesh:
        yield mesh


@pytest.fixture(autouse=True)
def as_before(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test finds the manifests that the mesh was started with."""
    yield
    if "mesh" in request.fixturenames:
        request.getfixturevalue("mesh").update(read_text(MANIFESTS, Path("shop.yaml")))


def changed(kind: str, name: str, **spec: Any) -> Document:
    """One object of the manifests, with other fields in its spec."""
    (raw,) = [one for one in yaml.safe_load_all(MANIFESTS) if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return Document(raw={**raw, "spec": {**raw["spec"], **spec}}, file=Path("changed.yaml"), lines={})


def template(name: str, **labels: str) -> dict[str, Any]:
    """The pod template of a Deployment, with further labels."""
    found: dict[str, Any] = yaml.safe_load(yaml.safe_dump(changed("Deployment", name).spec["template"]))
    found["metadata"]["labels"] |= labels
    return found


def rule(**fields: Any) -> dict[str, Any]:
    return {"name": "all", "route": [{"destination": {"host": "store", "subset": "v1"}}], **fields}


def apply(mesh: LocalMesh, *documents: Document) -> None:
    mesh.update([*mesh.manifests, *documents])


def pods(mesh: LocalMesh, workload: str) -> list[str]:
    return [pod.name for pod in mesh.pods() if pod.workload == workload]


def call(mesh: LocalMesh) -> tuple[int, Any]:
    """What `web` got when it called `store`."""
    status, answer = get(mesh.address(), "/call?url=http://store/echo")
    body = answer["body"] if status == 200 else ""
    return (answer["status"] if status == 200 else status), json.loads(body) if body.startswith("{") else body


@dataclass(slots=True)
class Seen:
    """What clients got, who answered, and since when."""

    outcomes: Counter[object] = field(default_factory=Counter)
    pods: Counter[str] = field(default_factory=Counter)

    def take(self, mesh: LocalMesh) -> None:
        try:
            status, body = call(mesh)
        except OSError as error:
            self.outcomes[type(error).__name__] += 1
        else:
            self.outcomes[status] += 1
            if status == 200:
                self.pods[body["pod"]] += 1

    def await_pods(self, names: Sequence[str]) -> None:
        """Until each of them has answered from now on."""
        before = Counter(self.pods)
        assert poll(lambda: all(self.pods[name] > before[name] for name in names), deadline=Deadline.after(PATIENCE))


@contextmanager
def load(mesh: LocalMesh, clients: int = 4) -> Iterator[Seen]:
    """Clients that call one after the other, on a new connection each, until the block ends."""
    seen, over = Seen(), threading.Event()

    def client() -> None:
        while not over.is_set():
            seen.take(mesh)

    with ThreadPoolExecutor(clients) as threads:
        for _ in range(clients):
            threads.submit(client)
        try:
            yield seen
        finally:
            over.set()


# ------------------------------------------------------------------------------------------------------------ who runs
def test_replicas_come_and_go_without_a_lost_request(mesh: LocalMesh, groups: Groups) -> None:
    with load(mesh) as seen:
        for replicas in (3, 1, 2):
            apply(mesh, changed("Deployment", "store", replicas=replicas))
            seen.await_pods(pods(mesh, "store"))

    assert seen.outcomes.keys() == {200}
    assert pods(mesh, "store") == ["store-0", "store-1"]
    assert [what for what in groups.alive() if "store" in what] == [
        "sidecar of store-0.shop", "sidecar of store-1.shop", "store-0.shop", "store-1.shop",
    ]  # fmt: skip


def test_a_changed_template_is_rolled_over_under_new_names(mesh: LocalMesh) -> None:
    with load(mesh) as seen:
        for workload in ("store", "web"):
            before = pods(mesh, workload)
            apply(mesh, changed("Deployment", workload, template=template(workload, generation="second")))
            assert not set(pods(mesh, workload)) & set(before)
        seen.await_pods(pods(mesh, "store"))

    assert seen.outcomes.keys() == {200}
    assert len(pods(mesh, "store")) == 2


def test_where_old_pods_go_first_requests_fail_in_between_as_on_a_cluster(mesh: LocalMesh) -> None:
    recreated = {"strategy": {"type": "Recreate"}, "template": template("store", generation="third")}
    with load(mesh) as seen:
        apply(mesh, changed("Deployment", "store", **recreated))
        seen.await_pods(pods(mesh, "store"))

    assert seen.outcomes.keys() == {200, 503}


def test_a_new_version_comes_beside_the_old_one_and_takes_over_by_a_route(mesh: LocalMesh) -> None:
    v2 = changed("Deployment", "store", replicas=1, template=template("store", version="v2"))
    v2 = Document(raw={**v2.raw, "metadata": {"name": "store-v2", "namespace": "shop"}}, file=v2.file, lines={})
    subsets = [{"name": version, "labels": {"version": version}} for version in ("v1", "v2")]
    to_v2 = rule(route=[{"destination": {"host": "store", "subset": "v2"}}])
    with load(mesh) as seen:
        apply(mesh, v2, changed("DestinationRule", "store", subsets=subsets))
        apply(mesh, changed("VirtualService", "store", http=[to_v2]))
        seen.await_pods(["store-v2"])
        answered = {call(mesh)[1]["pod"] for _ in range(5)}

    assert seen.outcomes.keys() == {200}
    assert answered == {"store-v2"}


def test_what_a_leaving_pod_has_begun_it_may_end(tmp_path: Path) -> None:
    """Its endpoint is gone at once, its process only when the request it holds is answered."""
    callees = (Callee(name="plain"), Callee(name="second", pods="version: v2"))
    with calling(tmp_path, callees) as caller, ThreadPoolExecutor() as threads:
        held = threads.submit(caller.get, "second", "/hold")
        v2 = next(pod for pod in caller.mesh.pods() if pod.name == "v2")
        assert poll(lambda: direct(v2.ip, "/held")["held"] == 1, deadline=Deadline.after(PATIENCE))

        leaving: Future[None] = threads.submit(caller.mesh.update, [*caller.mesh.manifests, without_pods(caller, "v2")])
        assert poll(lambda: caller.get("second").outcome[:2] == (503, "UH"), deadline=Deadline.after(PATIENCE))
        still_there = not leaving.done()
        direct(v2.ip, "/release")

        assert still_there
        assert held.result(PATIENCE).status == 200
        assert leaving.result(PATIENCE) is None
        assert "v2" not in {pod.name for pod in caller.mesh.pods()}
        assert b'"/hold"' in caller.mesh.read_log(v2, 0)[0]  # what it wrote can still be read


def direct(sidecar: str, path: str) -> Any:
    """Ask the application behind a sidecar, past it."""
    with closing(HTTPConnection(f"{sidecar.rpartition('.')[0]}.2", APPLICATION_PORT, timeout=PATIENCE)) as connection:
        return ask(connection, path, {"host": "second"}).body


def without_pods(caller: Caller, name: str) -> Document:
    (found,) = [d for d in caller.mesh.manifests if (d.kind, d.name) == ("Deployment", name)]
    return Document(raw={**found.raw, "spec": {**found.spec, "replicas": 0}}, file=found.file, lines={})


# ------------------------------------------------------------------------------------------------------ what they are told
def test_owners_objects_come_into_force_and_ours_stay_on_top(mesh: LocalMesh) -> None:
    header = {"headers": {"request": {"set": {"x-route": "changed"}}}}
    mesh.apply([envoy_filter("ours", route_in_front(f"{STORE}:80", "istio-chaos.t.1", direct_response={"status": 418}))])

    apply(mesh, changed("VirtualService", "store", http=[rule(**header)]))

    web = next(pod for pod in mesh.pods() if pod.name == "web")
    during = call(mesh)[0]
    shown = mesh.dump(web, Resource.ROUTES, ".*")[0]["virtual_hosts"][0]["routes"]
    mesh.delete([("shop", "ours")])
    after, answer = call(mesh)
    assert (during, after, answer["headers"]["x-route"]) == (418, 200, "changed")
    assert [route["name"] for route in shown] == ["istio-chaos.t.1", "all"]


def test_an_owners_filter_acts_and_goes(mesh: LocalMesh) -> None:
    filters = envoy_filter("owners", route_in_front(f"{STORE}:80", "owners", direct_response={"status": 429}))
    with load(mesh, clients=2) as seen:
        apply(mesh, Document(raw=filters, file=Path("filter.yaml"), lines={}))
        during = call(mesh)[0]
        mesh.update([document for document in mesh.manifests if document.kind != "EnvoyFilter"])
        after = call(mesh)[0]

    assert (during, after) == (429, 200)
    assert seen.outcomes.keys() <= {200, 429}


def test_a_new_service_can_be_called_at_once_and_nobody_moves(mesh: LocalMesh) -> None:
    _, before = get(mesh.address(), "/env")
    alias = yaml.safe_load(MANIFESTS.split("---")[2])
    alias["metadata"]["name"] = "another"

    mesh.update([Document(raw=alias, file=Path("another.yaml"), lines={}), *mesh.manifests])

    another = next(service for service in mesh.services() if service.name == "another")
    assert get(mesh.address(another), "/echo")[1]["pod"] in ("store-0", "store-1")
    where = f"{before['STORE_SERVICE_HOST']}:{before['STORE_SERVICE_PORT']}"
    listening = mesh.dump(next(p for p in mesh.pods() if p.name == "web"), Resource.LISTENERS, rf"outbound_{STORE}_80")[0][
        "address"
    ]
    assert "{address}:{port_value}".format(**listening["socket_address"]) == where


def test_files_are_read(mesh: LocalMesh, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(MANIFESTS.replace("x-route: all", "x-route: from-a-file"))

    mesh.update([tmp_path])

    assert call(mesh)[1]["headers"]["x-route"] == "from-a-file"


# ------------------------------------------------------------------------------------------------- what cannot be
@pytest.mark.parametrize(
    ("document", "error", "message"),
    [
        (changed("VirtualService", "store", http=[rule(timeout="0s")]), ManifestError, r"no cluster would take .*timeout"),
        (changed("Service", "web", ports=[{"name": "http", "port": 8081}]), TopologyError, r"entry\.port: .* no port 8080"),
    ],
    ids=["refused", "entry"],
)
def test_what_could_not_start_is_refused_and_nothing_changes(
    mesh: LocalMesh, document: Document, error: type[Exception], message: str
) -> None:
    before = mesh.manifests

    with pytest.raises(error, match=f"(?s){message}"):
        apply(mesh, document)

    assert (mesh.manifests, call(mesh)[0]) == (before, 200)


def test_pods_that_do_not_start_change_nothing_and_leave_nothing(mesh: LocalMesh, groups: Groups) -> None:
    broken = template("store", version="v2")
    broken["spec"]["containers"][0]["image"] = BROKEN
    with load(mesh, clients=2) as seen:
        with pytest.raises(MeshFailure, match=r"(?s)store-.*\.shop exited with status 1.*no database"):
            apply(mesh, changed("Deployment", "store", template=broken))
        seen.await_pods(["store-0", "store-1"])

    assert seen.outcomes.keys() == {200}
    assert pods(mesh, "store") == ["store-0", "store-1"]
    assert len([what for what in groups.alive() if "store" in what]) == 4


def test_what_a_proxy_refuses_is_taken_back_everywhere(mesh: LocalMesh) -> None:
    bad = {"applyTo": "CLUSTER", "patch": {"operation": "ADD", "value": {"name": "bad", "connect_timeout": "-1s"}}}
    filters = Document(raw=envoy_filter("bad", bad), file=Path("bad.yaml"), lines={})

    with pytest.raises(MeshFailure, match=r"(?s)sidecar of web\.shop refused its clusters.*bad"):
        apply(mesh, filters, changed("Deployment", "store", replicas=3))

    assert pods(mesh, "store") == ["store-0", "store-1"]
    assert call(mesh)[0] == 200
    assert not any(mesh.dump(pod, Resource.CLUSTERS, "bad") for pod in mesh.pods())


# ------------------------------------------------------------------------------------------ while a fault is on
def test_an_owner_who_edits_the_route_under_test_ends_the_fault(tmp_path: Path) -> None:
    shop = replace(topology(tmp_path), allow=Allow(namespaces=("shop",)))
    patient = changed(
        "VirtualService", "store", hosts=["web"], http=[{"timeout": "3s", "route": [{"destination": {"host": "web"}}]}]
    )
    patient = Document(raw={**patient.raw, "metadata": {"name": "web", "namespace": "shop"}}, file=patient.file, lines={})
    with opened(tmp_path, shop) as run, experiment(run) as (inject, load, one), load("/echo", rate="50/s") as traffic:
        assert isinstance(run.mesh, LocalMesh)
        mark = f"00-{one.mark.flow(9).trace_id(1)}-0123456789abcdef-01"
        with inject(abort(503), "istio-chaos-load -> web", at="caller") as injection:
            faulted = traffic.window("300ms"), get(run.mesh.address(), "/echo", traceparent=mark)[0]

            apply(run.mesh, patient)
            with pytest.raises(Aborted, match=r"web\.shop\.svc\.cluster\.local:8080 changed while they were under test"):
                traffic.window("20s")

            ended = get(run.mesh.address(), "/echo", traceparent=mark)[0]
        torn = traffic.window("300ms")

    assert (faulted[0].requests, faulted[0].errors, faulted[1]) == (15, 15, 503)
    assert (ended, injection.record.gone > 0) == (200, True)
    with pytest.raises(Inconclusive, match="changed while they were under test"):
        expect(torn).to_succeed(at_least="50%")
