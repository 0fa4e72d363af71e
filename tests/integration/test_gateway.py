"""Does traffic enter by the gateway that manifests describe, and do faults act there? Bookinfo behind an ingress gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from chaos import abort
from chaos.errors import Refused
from chaos.mesh.port import Pod, Resource
from chaos.run.run import Run
from chaos.run.topology import load as read_topology
from tests.docs.pages import ROOT
from tests.meshes import envoy_filter, get
from tests.runs import experiment, opened

GATEWAY = "istio-ingressgateway"
PAGE = "bookinfo.example.com"
API = "api.example.com"
MORE = f"""\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: api, namespace: bookinfo}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: [{API}]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: api, namespace: bookinfo}}
spec:
  hosts: [{API}]
  gateways: [api]
  http:
  - match: [{{uri: {{prefix: /ratings}}}}]
    route: [{{destination: {{host: ratings, port: {{number: 9080}}}}}}]
  - match: [{{uri: {{prefix: /details}}}}]
    route: [{{destination: {{host: details, port: {{number: 9080}}}}}}]
  - route: [{{destination: {{host: productpage, port: {{number: 9080}}}}}}]
"""
"""A second name, with paths to several services, and the page behind all of them."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("gateway")
    more = folder / "api.yaml"
    more.write_text(MORE)
    topology = read_topology(ROOT / "experiments" / "chaos.yaml")
    assert topology.local is not None
    manifests = (*topology.local.manifests, ROOT / "examples" / "bookinfo" / "manifests-gateway", more)
    with opened(folder, replace(topology, local=replace(topology.local, manifests=manifests))) as run:
        yield run


def gateway(run: Run) -> Pod:
    return next(pod for pod in run.mesh.pods() if pod.gateway)


def status(run: Run, path: str, **headers: str) -> int:
    return get(run.mesh.address(), path, **headers)[0]


def lines(run: Run) -> list[dict[str, Any]]:
    """What the gateway has written down so far."""
    run.mesh.flush_logs([gateway(run)])
    return [json.loads(line) for line in run.mesh.read_log(gateway(run), 0)[0].splitlines()]


def test_load_enters_by_the_gateway_that_was_made_up(run: Run) -> None:
    pod, service, port = run.mesh.entry

    assert (pod.id, pod.gateway, pod.proxy) == (f"{GATEWAY}.bookinfo", True, True)
    assert (service.name, port) == ("productpage", 9080)
    assert run.mesh.address().host == PAGE
    assert run.mesh.address().url.startswith(f"http://{pod.ip}:")
    # A service is called by way of the load workload as ever, the entry too where it is named.
    assert run.mesh.address(service, port) != run.mesh.address()


def test_the_gateway_has_istiods_routes_and_answers_as_on_a_cluster(run: Run) -> None:
    (routes,) = run.mesh.dump(gateway(run), Resource.ROUTES, r"http\..*")

    assert routes["name"] == "http.80"
    assert [host["name"] for host in routes["virtual_hosts"]] == [f"{API}:80", f"{PAGE}:80"]
    assert status(run, "/productpage") == 200
    assert status(run, "/health") == 404
    assert status(run, "/productpage", host="elsewhere.example.com") == 404
    assert status(run, "/ratings/0", host=API) == 200


def test_the_gateway_writes_down_what_it_called(run: Run) -> None:
    before = len(lines(run))

    status(run, "/productpage")

    (line,) = lines(run)[before:]
    told = {
        "side": "outbound",
        "authority": PAGE,
        "cluster": "outbound|9080|v1|productpage.bookinfo.svc.cluster.local",
        "code": 200,
    }
    assert told.items() <= line.items()


def test_a_route_of_ours_acts_at_the_gateway(run: Run) -> None:
    match = {"context": "GATEWAY", "routeConfiguration": {"vhost": {"name": f"{PAGE}:80"}}}
    teapot = {"name": "istio-chaos.t.1", "match": {"prefix": "/"}, "direct_response": {"status": 418}}
    patch = {"applyTo": "HTTP_ROUTE", "match": match, "patch": {"operation": "INSERT_FIRST", "value": teapot}}

    run.mesh.apply([envoy_filter("teapot", patch, app=GATEWAY, namespace="bookinfo")])
    during = status(run, "/productpage"), status(run, "/details/0", host=API)
    run.mesh.delete([("bookinfo", "teapot")])

    assert (during, status(run, "/productpage")) == ((418, 200), 200)


@pytest.mark.parametrize(("edge", "at"), [(f"{GATEWAY} -> productpage", "caller"), ("-> productpage", "callee")])
def test_a_fault_on_the_way_in_hits_own_traffic_alone(run: Run, edge: str, at: str) -> None:
    with experiment(run) as (inject, load, _), load("/productpage", rate="40/s") as traffic:
        with inject(abort(503), edge, at=at) as injection:  # type: ignore[arg-type]
            during = traffic.window("500ms")
            bystander = status(run, "/productpage")
        traffic.settle(after=injection)
        after = traffic.window("500ms")

    assert f"{GATEWAY}.bookinfo" in injection.record.callers
    assert (during.requests, during.errors, bystander) == (20, 20, 200)
    assert during.edge(edge).faults == during.edge(edge).requests == 20
    assert after.errors == 0


def test_paths_to_other_services_of_the_same_name_are_spared(run: Run) -> None:
    """The page's own route is the last, and takes whatever the others leave."""
    with experiment(run) as (inject, _, one), inject(abort(503), f"{GATEWAY} -> productpage", at="caller"):
        trace = f"00-{one.mark.flow(1).trace_id(1)}-0123456789abcdef-01"
        own = {path: status(run, path, host=API, traceparent=trace) for path in ("/", "/productpage", "/details/0", "/ratings/0")}
        bystander = status(run, "/productpage", host=API)

    assert own == {"/": 503, "/productpage": 503, "/details/0": 200, "/ratings/0": 200}
    assert bystander == 200


def test_an_edge_that_no_route_of_the_gateway_has_is_refused(run: Run) -> None:
    with (
        experiment(run) as (inject, _, _one),
        pytest.raises(Refused, match=rf"no route of the gateway {GATEWAY} leads to reviews\."),
    ):
        inject(abort(503), f"{GATEWAY} -> reviews")


def test_any_caller_means_no_gateway_that_does_not_call(run: Run) -> None:
    with experiment(run) as (inject, _, _one):
        callers = inject(abort(503), "-> reviews").record.callers

    assert "productpage-v1.bookinfo" in callers
    assert f"{GATEWAY}.bookinfo" not in callers
