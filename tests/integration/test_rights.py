"""Is what `deploy/` grants enough for all that is done, on a real API server with RBAC, and is each of it missed?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos import abort
from chaos.errors import Forbidden, MeshFailure
from chaos.mesh.cluster import kinds, readiness
from chaos.mesh.cluster.kinds import Kind
from chaos.mesh.cluster.remains import ClusterRemains
from chaos.mesh.cluster.rights import REAPER, RUNNER, Right
from chaos.model.edge import Edge
from chaos.model.events import InjectionPlanned, LoadPlanned
from chaos.model.readiness import Severity
from chaos.model.topology import Allow, Choice, Target, Topology
from chaos.run import meshes
from chaos.run.doctor import examine
from chaos.run.reaper import Reaper
from chaos.run.run import RunOptions, new_id
from tests.apiserver.server import CONTEXT, ApiServer
from tests.apiserver.world import ROLE, ROLE_BINDING, World, world
from tests.integration.test_deploy import built, named
from tests.runs import experiment, opened

Json = dict[str, Any]

SERVED = {
    "ConfigMap": kinds.CONFIG_MAP,
    "Deployment": kinds.DEPLOYMENT,
    "Role": ROLE,
    "RoleBinding": ROLE_BINDING,
    "ServiceAccount": Kind(name="ServiceAccount", plural="serviceaccounts", version="v1"),
}
"""Kinds of `deploy/` that a server of 1.20 serves in the version that is written there; batch/v1 has CronJobs since 1.21."""


def rules(role: str) -> list[Json]:
    found: list[Json] = named(built("namespace"), "Role", role)["rules"]
    return found


def only(made: World, user: str, granted: list[Json]) -> None:
    """From now on this user has these rules in the namespace, and nothing else."""
    for kind in (ROLE_BINDING, ROLE):
        made.admin.delete(kind, user, "shop")
    made.grant(user, granted)


@pytest.fixture(scope="module")
def shop(apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(apiserver, tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def granted(shop: World) -> World:
    """As `deploy/namespace` has it: `tester` runs experiments, `nobody` is the reaper."""
    only(shop, "tester", rules("istio-chaos-runner"))
    only(shop, "nobody", rules("istio-chaos-reaper"))
    return shop


@pytest.fixture
def place(granted: World) -> tuple[Topology, Choice]:
    allow = Allow(contexts=("kind-*",), namespaces=("shop",))
    visit = granted.visit()
    return replace(granted.topology, targets={"test": Target(context=CONTEXT)}, allow=allow), Choice(
        target="test", kubeconfig=visit.kubeconfig
    )


def reaper(made: World, told: list[str]) -> Reaper:
    return Reaper(ClusterRemains(made.server.client("nobody"), ["shop"]), ["shop"], "reaper-1", told.append)


def test_a_run_and_a_reaper_need_no_more_than_their_roles(granted: World, place: tuple[Topology, Choice], tmp_path: Path) -> None:
    told: list[str] = []
    before = granted.objects()
    assert reaper(granted, told).look(), told

    with opened(tmp_path, place[0], "cluster", place[1]) as run:
        with (
            experiment(run) as (inject, load, _),
            load("/call?url=http://store/echo", rate="40/s") as traffic,
            inject(abort(503), "web -> store", at="callee"),
        ):
            edge = traffic.window("1s").edge("web -> store")
        assert (edge.requests, edge.faults) == (40, 40)

    assert told == []
    assert {key for key in granted.objects() if key[0] != "Lease"} == {key for key in before if key[0] != "Lease"}


def test_doctor_finds_every_right_in_place_and_that_no_reaper_is_there(granted: World, place: tuple[Topology, Choice]) -> None:
    granted.admin.delete(kinds.LEASE, "istio-chaos-reaper", "shop")
    found = examine("cluster", *place, [Edge.of("web -> store")])

    assert [f.where for f in found if f.check == "rights" and f.where == "namespace/shop"] == []
    assert [f.check for f in found if f.severity is Severity.ERROR] == ["reaper"]
    assert [f.what for f in found if f.check == "edges"] == ["starts at web.shop (1 pod)"]
    assert not [f for f in found if "could not be asked" in f.what]


@pytest.mark.parametrize("right", [right for right in RUNNER if right.needed], ids=lambda r: f"{r.verb}-{r.resource}")
def test_a_right_that_is_missing_is_found_before_anything_is_written(granted: World, right: Right) -> None:
    only(granted, "tester", without(rules("istio-chaos-runner"), right))
    client = granted.server.client("tester")
    look = readiness.Look(client, ["shop"])
    (found,) = readiness.examine(look, {"rights": readiness.granted})

    assert found.severity is Severity.ERROR
    assert found.what.startswith(f"we may not {right.verb} {right.resource}")
    assert right.rule in found.remedy


def without(granted: list[Json], right: Right) -> list[Json]:
    """The same rules but for one verb on one resource."""
    return [
        {**rule, "resources": [resource], "verbs": verbs}
        for rule in granted
        for resource in rule["resources"]
        if (
            verbs := [
                v for v in rule["verbs"] if (rule["apiGroups"], resource, v) != ([right.kind.group], right.resource, right.verb)
            ]
        )
    ]


def test_a_run_without_a_right_is_refused(granted: World, place: tuple[Topology, Choice]) -> None:
    (delete,) = [right for right in RUNNER if (right.verb, right.kind) == ("delete", kinds.ENVOY_FILTER)]
    only(granted, "tester", without(rules("istio-chaos-runner"), delete))
    before = granted.objects()

    with pytest.raises(MeshFailure, match="we may not delete envoyfilters"):
        meshes.check("cluster", *place)
    assert granted.objects() == before


def test_a_plan_needs_no_right_to_write(granted: World, place: tuple[Topology, Choice], tmp_path: Path) -> None:
    writing = [right for right in RUNNER if right.verb not in ("get", "list") and right.subresource != "portforward"]
    allowed = rules("istio-chaos-runner")
    for right in writing:
        allowed = without(allowed, right)
    only(granted, "tester", allowed)
    before, events = granted.objects(), []

    opener = meshes.check("cluster", place[0], replace(place[1], plan=True))
    run = opener(RunOptions(id=new_id(), folder=tmp_path / "run", plan=True, listeners=(events.append,)))
    with (
        closing(run),
        experiment(run) as (inject, load, _),
        load("/call?url=http://store/echo", rate="40/s") as traffic,
        inject(abort(503), "web -> store", at="callee"),
    ):
        traffic.window("10s")

    assert opener.refused
    told = "\n".join(opener.header)
    assert writing
    assert all(f"we may not {right.verb} {right.resource}" in told for right in writing)
    assert [type(event).__name__ for event in events if isinstance(event, (InjectionPlanned, LoadPlanned))] == [
        "InjectionPlanned",
        "LoadPlanned",
    ]
    assert granted.objects() == before


def test_the_reaper_cannot_make_what_it_removes(granted: World) -> None:
    client = granted.server.client("nobody")
    injection = {
        "apiVersion": kinds.ENVOY_FILTER.api_version,
        "kind": "EnvoyFilter",
        "metadata": {"name": "one", "namespace": "shop"},
        "spec": {},
    }

    with pytest.raises(Forbidden):
        client.apply(injection)
    with pytest.raises(Forbidden):
        client.items(kinds.POD, "shop")
    assert all(client.may(right.verb, right.kind, "shop") for right in REAPER)


@pytest.mark.parametrize("overlay", ["overlays/kind", "overlays/staging"])
def test_a_real_server_takes_what_kubectl_would_send(apiserver: ApiServer, overlay: str) -> None:
    admin, objects = apiserver.client(), built(overlay)
    there = {item["metadata"]["name"] for item in admin.items(kinds.NAMESPACE)}
    for name in sorted({o["metadata"]["namespace"] for o in objects if "namespace" in o["metadata"]} - there):
        given = [o for o in objects if (o["kind"], o["metadata"]["name"]) == ("Namespace", name)]
        body = given[0] if given else {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        admin.call("POST", kinds.NAMESPACE.path(None), body=body)

    taken = []
    for each in objects:
        if kind := SERVED.get(each["kind"]):
            path = kind.path(each["metadata"]["namespace"])
            taken.append(admin.call("POST", path, query={"dryRun": "All"}, body=each).json)

    assert {each["kind"] for each in objects} - SERVED.keys() == {"Namespace", "CronJob"}
    assert all(kept(sent, got) for sent, got in zip([o for o in objects if o["kind"] in SERVED], taken, strict=True))


def kept(sent: Any, got: Any) -> bool:
    """Is everything there that was sent? A server drops fields that it does not know."""
    if isinstance(sent, dict):
        return all(key in got and kept(value, got[key]) for key, value in sent.items())
    if isinstance(sent, list):
        return len(sent) == len(got) and all(kept(a, b) for a, b in zip(sent, got, strict=True))
    return bool(sent == got)
