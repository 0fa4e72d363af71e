"""Does Envoy take everything we may make, and mean the rules as they are written? Generated manifests, and those of `tests/golden`.

A hundred worlds in a run of seconds, always the same ones; `--hypothesis-profile=soak` draws new ones for minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chaos.clock import Deadline, poll
from chaos.envoy.configuration import Configuration
from chaos.envoy.translation import translate
from chaos.istio.documents import Document, read
from chaos.istio.validate import refusals
from chaos.istio.world import PROFILES, World
from chaos.mesh.local.addresses import Endpoint
from tests.envoy_validation import refusal
from tests.envoys import envoys
from tests.generated import (
    CLIENT,
    EDGE,
    GATEWAY,
    WORKLOADS,
    Manifest,
    Request,
    Routing,
    documents,
    manifest,
    meshes,
    owners,
    routings,
    service,
    surroundings,
    workload,
)

PATIENCE = 10.0
GOLDEN = Path(__file__).parents[1] / "golden"
SOAKING = settings.get_current_profile_name() == "soak"


def drawn(batches: int) -> settings:
    """So many examples, the same every time; a soak draws fifty times as many, new ones each time, and makes what fails small."""
    return settings(
        phases=tuple(Phase) if SOAKING else (Phase.generate,),
        max_examples=batches * 50 if SOAKING else batches,
        derandomize=not SOAKING,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),  # batches are big on purpose
    )


# ---------------------------------------------------------------------------------------------------------- Envoy takes it
@drawn(16)
@given(st.lists(owners(), min_size=3, max_size=8))
def test_envoy_takes_whatever_istiod_would_take(tmp_path_factory: pytest.TempPathFactory, batch: list[list[Manifest]]) -> None:
    found = [documents(manifests) for manifests in batch]
    configurations = [translate(World.of(WORKLOADS + own), proxy) for own in found for proxy in (CLIENT, "alpha-v1.shop")]

    assert [finding for own in found for document in own for finding in refusals(document)] == []
    assert refusal(configurations, tmp_path_factory.mktemp("batch")) == ""


@drawn(12)
@given(st.lists(st.tuples(owners(), surroundings(), meshes, st.sampled_from(PROFILES)), min_size=3, max_size=8))
def test_envoy_takes_what_stands_around_services_too(
    tmp_path_factory: pytest.TempPathFactory, batch: list[tuple[list[Manifest], list[Manifest], dict[str, Any], str]]
) -> None:
    configurations = []
    for own, around, mesh, profile in batch:
        found = documents([*own, *around])
        assert [finding for document in found for finding in refusals(document)] == []
        world = World.of(WORKLOADS + EDGE + found, mesh_config=mesh, profile=profile)
        configurations += [translate(world, proxy) for proxy in (CLIENT, "alpha-v1.shop", GATEWAY)]

    assert refusal(configurations, tmp_path_factory.mktemp("batch")) == ""


# What Envoy has against configurations that istiod pushes all the same.
REFUSED = {
    "accept-abort-status-600": "HttpStatus: value must be inside range [200, 600)",
    "fault-abort-600": "HttpStatus: value must be inside range [200, 600)",
    "ef-http-filter-positions": "router must be the last filter",
    "warn-envoyfilter-unknown-field": 'field: "error_type", reason: is required',
}


def test_envoy_takes_every_golden_configuration(tmp_path: Path) -> None:
    configurations = [c for case in _cases() if case not in REFUSED for c in _golden(case)]

    assert len(configurations) > 100
    assert refusal(configurations, tmp_path) == ""


@pytest.mark.parametrize(("case", "reason"), REFUSED.items())
def test_envoy_refuses_some_of_what_istiod_pushes(tmp_path: Path, case: str, reason: str) -> None:
    assert reason in refusal(list(_golden(case)), tmp_path)


def _cases() -> list[str]:
    return sorted(path.name for path in (GOLDEN / "cases").iterdir())


def _golden(name: str) -> Iterator[Configuration]:
    """For every proxy of a case; those about validation alone have none."""
    folder = GOLDEN / "cases" / name
    case: dict[str, Any] = yaml.safe_load((folder / "case.yaml").read_text())
    files = [*(GOLDEN / "base" / f"{base}.yaml" for base in case.get("base", ["bookinfo"])), folder / "manifests.yaml"]
    accepted = [document for file in files for document in _documents(file) if not refusals(document)]
    world = World.of(accepted, mesh_config=case.get("mesh"), api_defaults=False)
    for expected in sorted((folder / "expected").glob("*.*.json")):
        yield translate(world, expected.stem)


@cache
def _documents(file: Path) -> Sequence[Document]:
    return tuple(read([file]))


# ------------------------------------------------------------------------------------------------------- and means it so
@drawn(16)
@given(st.lists(routings(), min_size=6, max_size=16))
def test_the_first_rule_that_matches_takes_the_request(tmp_path_factory: pytest.TempPathFactory, batch: list[Routing]) -> None:
    names = [f"s{number}" for number in range(len(batch))]
    rules = [
        manifest("VirtualService", name, {"hosts": [name], "http": list(routing.rules)})
        for name, routing in zip(names, batch, strict=True)
    ]
    world = World.of(documents([*(part for name in names for part in service(name)), workload("client", app="client"), *rules]))
    routes = next(routes for routes in translate(world, CLIENT).routes if routes["name"] == "80")

    with envoys(tmp_path_factory.mktemp("envoy")) as started:
        _, admin = started.start(routes)
        assert poll(admin.ready, deadline=Deadline.after(PATIENCE))
        for name, routing in zip(names, batch, strict=True):
            for request in routing.requests:
                assert taker(started.listening, name, request) == routing.taker(request), (request, routing.rules)


def taker(envoy: Endpoint, host: str, request: Request) -> str | None:
    """As `Routing.taker`, by the answer: the default route leads to a cluster that this Envoy does not have."""
    with closing(HTTPConnection(envoy.address, envoy.port, timeout=PATIENCE)) as connection:
        query = f"?{urlencode(request.query)}" if request.query else ""
        connection.request(request.method, request.path + query, headers={"host": host, **request.headers})
        answer = connection.getresponse()
        body = answer.read().decode()
    return {404: None, 503: "default"}.get(answer.status, body)


@drawn(40)
@given(owners())
def test_callers_whom_no_rule_concerns_are_left_alone(manifests: list[Manifest]) -> None:
    others = [m for m in manifests if m["kind"] != "VirtualService"]
    for_strangers = [m for m in manifests if m["kind"] == "VirtualService"]
    for rule in (rule for m in for_strangers for rule in m["spec"]["http"]):
        rule["match"] = [{**match, "sourceLabels": {"app": "stranger"}} for match in rule.get("match", [{}])]

    with_rules = translate(World.of(WORKLOADS + documents(others + for_strangers)), CLIENT)
    without = translate(World.of(WORKLOADS + documents(others)), CLIENT)

    assert with_rules == without
