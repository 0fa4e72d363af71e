from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from chaos.envoy.routes import RouteContext, routes_of
from chaos.istio import virtualservices
from chaos.istio.destinationrules import rule_for
from chaos.istio.scope import scope_of
from chaos.istio.world import World

WORLD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web, version: v1}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: cart.default.svc.cluster.local, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart}
spec:
  host: cart
  trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}
  subsets:
  - {name: v1, labels: {v: "1"}}
  - {name: v2, labels: {v: "2"}, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}}
"""
RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: routes}
spec:
  hosts: [cart]
  http: %s
"""
TO_CART = "route: [{destination: {host: cart}}]"
CART = "outbound|80||cart.default.svc.cluster.local"
Routes = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def routes(world_of: Callable[..., World]) -> Routes:
    """`routes("[{...}]")`: what the pod web gets of these http rules on port 80."""

    def build(
        http: str,
        *,
        gateway: str = "mesh",
        port: int = 80,
        mesh: Mapping[str, Any] | None = None,
        tls: bool = False,
        profile: str = "1.29",
    ) -> list[dict[str, Any]]:
        world = world_of(WORLD, RULES % http, mesh=mesh, profile=profile)
        proxy = world.proxy("web.default")
        context = RouteContext(
            proxy=proxy,
            mesh=world.mesh,
            minor=world.minor,
            port=port,
            gateway=gateway,
            service_of=scope_of(world, proxy).services_by_host.get,
            rule_of=lambda host: rule_for(world, proxy, host),
            tls=tls,
        )
        (found,) = virtualservices.all_of(world)
        return routes_of(found, context)

    return build


def names(found: list[dict[str, Any]]) -> list[str]:
    return [route.get("name", "") for route in found]


def test_each_match_is_a_route_and_a_catch_all_ends_it(routes: Routes) -> None:
    found = routes(f"""[
      {{name: a, match: [{{uri: {{prefix: /a}}}}, {{name: second, uri: {{prefix: /b}}}}], {TO_CART}}},
      {{match: [{{name: only, headers: {{x: {{exact: y}}}}}}], {TO_CART}}},
      {{name: all, {TO_CART}}},
      {{name: never, {TO_CART}}}]""")
    assert names(found) == ["a", "a.second", ".only", "all"]


@pytest.mark.parametrize("match", ["uri: {prefix: /}", "uri: {regex: '.*'}", ""])
def test_a_match_that_takes_everything_ends_it_too(routes: Routes, match: str) -> None:
    found = routes(f"[{{name: a, match: [{{{match}}}, {{uri: {{exact: /b}}}}], {TO_CART}}}, {{name: never, {TO_CART}}}]")
    assert names(found) == ["a"]


@pytest.mark.parametrize(
    ("match", "concerned"),
    [
        ("{port: 80}", True),
        ("{port: 81}", False),
        ("{sourceLabels: {app: web}}", True),
        ("{sourceLabels: {app: web, version: v1}}", True),
        ("{sourceLabels: {app: other}}", False),
        ("{sourceNamespace: default}", True),
        ("{sourceNamespace: other}", False),
        ("{gateways: [mesh]}", True),
        ("{gateways: [gw]}", False),
        ("{gateways: [mesh], sourceLabels: {app: other}, sourceNamespace: other}", True),
    ],
)
def test_whom_a_match_concerns(routes: Routes, match: str, concerned: bool) -> None:
    assert bool(routes(f"[{{match: [{match}], {TO_CART}}}]")) is concerned


def test_at_a_gateway_its_own_rules_count(routes: Routes) -> None:
    assert names(routes(f"[{{name: a, match: [{{gateways: [gw]}}], {TO_CART}}}]", gateway="default/gw")) == ["a"]


def test_a_rule_for_somebody_else_does_not_end_the_list(routes: Routes) -> None:
    assert names(routes(f"[{{name: a, match: [{{port: 81}}], {TO_CART}}}, {{name: b, {TO_CART}}}]")) == ["b"]


@pytest.mark.parametrize(
    ("destination", "cluster"),
    [
        ("host: cart", CART),
        ("host: cart, subset: v1", "outbound|80|v1|cart.default.svc.cluster.local"),
        ("host: cart, port: {number: 9}", "outbound|9||cart.default.svc.cluster.local"),
        ("host: unheard.of", "outbound|8080||unheard.of"),
        ("host: alias", CART),
    ],
)
def test_destinations(routes: Routes, destination: str, cluster: str) -> None:
    (route,) = routes(f"[{{route: [{{destination: {{{destination}}}, weight: 7}}]}}]", port=8080)
    assert route["route"]["cluster"] == cluster


def test_weights_are_kept_and_zeroes_dropped(routes: Routes) -> None:
    (route,) = routes("""[{route: [
      {destination: {host: cart, subset: v1}, weight: 90, headers: {request: {set: {host: h, x: y}}}},
      {destination: {host: cart, subset: v2}, weight: 20},
      {destination: {host: cart}, weight: 0}]}]""")
    one, other = route["route"]["weighted_clusters"]["clusters"]
    assert (one["weight"], other["weight"]) == (90, 20)
    assert one["host_rewrite_literal"] == "h"
    assert one["request_headers_to_add"][0]["header"] == {"key": "x", "value": "y"}
    assert route["route"]["hash_policy"] == [
        {"header": {"header_name": "x-user"}},
        {"connection_properties": {"source_ip": True}},
    ]
    assert "retry_host_predicate" in route["route"]["retry_policy"]


def test_a_single_destination_hashes_and_then_keeps_its_host(routes: Routes) -> None:
    (route,) = routes("[{route: [{destination: {host: cart, subset: v2}}]}]")
    assert route["route"]["hash_policy"] == [{"connection_properties": {"source_ip": True}}]
    assert "retry_host_predicate" not in route["route"]["retry_policy"]


@pytest.mark.parametrize(("written", "timeout"), [("", "0s"), (", timeout: 1500ms", "1.5s")])
def test_timeouts_hold_for_grpc_too(routes: Routes, written: str, timeout: str) -> None:
    (route,) = routes(f"[{{{TO_CART}{written}}}]")
    assert (route["route"]["timeout"], route["route"]["max_grpc_timeout"]) == (timeout, timeout)


@pytest.mark.parametrize(
    ("rule", "mesh", "retries"),
    [
        ("", None, 2),
        ("", {"attempts": 5, "retryOn": "5xx"}, 5),
        ("", {"attempts": 0}, None),
        (", retries: {attempts: 1}", {"attempts": 5}, 1),
        (", retries: {}", {"attempts": 5}, None),
        (", retries: {attempts: 0}", None, None),
    ],
)
def test_a_rule_s_own_retries_replace_the_mesh_s(
    routes: Routes, rule: str, mesh: dict[str, Any] | None, retries: int | None
) -> None:
    (route,) = routes(f"[{{{TO_CART}{rule}}}]", mesh={"defaultHttpRetryPolicy": mesh} if mesh else None)
    assert route["route"].get("retry_policy", {}).get("num_retries") == retries


@pytest.mark.parametrize(
    ("rewrite", "made"),
    [
        ("uri: /b", {"prefix_rewrite": "/b"}),
        ("authority: b.com", {"host_rewrite_literal": "b.com"}),
        (
            "uriRegexRewrite: {match: '/a/(.*)', rewrite: '/b/\\1'}",
            {"regex_rewrite": {"pattern": {"regex": "/a/(.*)"}, "substitution": "/b/\\1"}},
        ),
        ("uri: /b, uriRegexRewrite: {match: a, rewrite: b}", {"regex_rewrite": {"pattern": {"regex": "a"}, "substitution": "b"}}),
    ],
)
def test_rewrites(routes: Routes, rewrite: str, made: dict[str, Any]) -> None:
    (route,) = routes(f"[{{{TO_CART}, rewrite: {{{rewrite}}}}}]")
    found = {key: value for key, value in route["route"].items() if "rewrite" in key}
    assert found == made


@pytest.mark.parametrize(
    ("rule", "host"),
    [
        ("headers: {request: {set: {host: from-rule}}}, " + TO_CART, "from-rule"),
        ("route: [{destination: {host: cart}, headers: {request: {set: {host: from-destination}}}}]", "from-destination"),
        (
            """headers: {request: {set: {host: from-rule}}}, rewrite: {authority: from-rewrite},
            route: [{destination: {host: cart}, headers: {request: {set: {host: from-destination}}}}]""",
            "from-rewrite",
        ),
    ],
)
def test_who_decides_on_the_host(routes: Routes, rule: str, host: str) -> None:
    (route,) = routes(f"[{{{rule}}}]")
    assert route["route"]["host_rewrite_literal"] == host


def test_headers_of_rule_and_destination_join(routes: Routes) -> None:
    (route,) = routes(
        "[{headers: {response: {add: {a: b}}}, route: [{destination: {host: cart}, headers: {response: {add: {c: d}}}}]}]"
    )
    assert [option["header"]["key"] for option in route["response_headers_to_add"]] == ["a", "c"]


@pytest.mark.parametrize(
    ("rule", "shares"),
    [
        ("mirror: {host: cart}", [{"numerator": 100}]),
        ("mirror: {host: cart}, mirrorPercentage: {value: 0.5}", [{"numerator": 5000, "denominator": "MILLION"}]),
        ("mirror: {host: cart}, mirrorPercent: 20", [{"numerator": 20}]),
        ("mirror: {host: cart}, mirrorPercent: 20, mirrorPercentage: {value: 0}", []),
        ("mirror: {host: cart}, mirrorPercent: 0", []),
        (
            "mirrors: [{destination: {host: cart}}, {destination: {host: cart}, percentage: {value: 0}}, {percentage: {value: 5}}]",
            [{"numerator": 100}],
        ),
    ],
)
def test_mirrors(routes: Routes, rule: str, shares: list[dict[str, Any]]) -> None:
    (route,) = routes(f"[{{{TO_CART}, {rule}}}]")
    found = route["route"].get("request_mirror_policies", [])
    assert [mirror["runtime_fraction"]["default_value"] for mirror in found] == shares
    assert all(mirror["cluster"] == CART and mirror["disable_shadow_host_suffix_append"] for mirror in found)


def test_before_1_28_a_mirror_changed_the_host(routes: Routes) -> None:
    (route,) = routes(f"[{{{TO_CART}, mirror: {{host: cart}}}}]", profile="1.27")
    assert "disable_shadow_host_suffix_append" not in route["route"]["request_mirror_policies"][0]


@pytest.mark.parametrize(
    ("redirect", "made"),
    [
        ("uri: /b", {"path_redirect": "/b"}),
        ("authority: b.com", {"path_redirect": "", "host_redirect": "b.com"}),
        ("scheme: https, redirectCode: 302", {"path_redirect": "", "scheme_redirect": "https", "response_code": "FOUND"}),
        ("port: 8443", {"path_redirect": "", "port_redirect": 8443}),
        ("port: 80", {"path_redirect": ""}),
        ("port: 443, scheme: https", {"path_redirect": "", "scheme_redirect": "https"}),
        ("port: 443", {"path_redirect": "", "port_redirect": 443}),
        ("derivePort: FROM_REQUEST_PORT", {"path_redirect": "", "port_redirect": 8080}),
        ("derivePort: FROM_PROTOCOL_DEFAULT", {"path_redirect": ""}),
        ("uri: /b, redirectCode: 301", {"path_redirect": "/b"}),
        ("uri: /b, redirectCode: 308", {"path_redirect": "/b", "response_code": "PERMANENT_REDIRECT"}),
        ("uri: /b, redirectCode: 305", None),
    ],
)
def test_redirects(routes: Routes, redirect: str, made: dict[str, Any] | None) -> None:
    (route,) = routes(f"[{{redirect: {{{redirect}}}}}]", port=8080)
    assert route.get("redirect") == made


def test_on_tls_the_default_port_is_another(routes: Routes) -> None:
    (route,) = routes("[{redirect: {derivePort: FROM_REQUEST_PORT}}]", port=443, tls=True)
    assert "port_redirect" not in route["redirect"]


@pytest.mark.parametrize(
    ("response", "made"),
    [
        ("status: 503", {"status": 503}),
        ("status: 503, body: {string: down}", {"status": 503, "body": {"inline_string": "down"}}),
        ("status: 503, body: {bytes: ZG93bg==}", {"status": 503, "body": {"inline_bytes": "ZG93bg=="}}),
    ],
)
def test_direct_responses(routes: Routes, response: str, made: dict[str, Any]) -> None:
    (route,) = routes(f"[{{directResponse: {{{response}}}}}]")
    assert route["direct_response"] == made


def test_faults_and_cors_stand_beside_any_action(routes: Routes) -> None:
    (route,) = routes("[{redirect: {uri: /b}, fault: {abort: {httpStatus: 500, percentage: {value: 1}}}, corsPolicy: {}}]")
    assert set(route["typed_per_filter_config"]) == {"envoy.filters.http.fault", "envoy.filters.http.cors"}


def test_a_route_says_where_it_was_written(routes: Routes) -> None:
    (route,) = routes(f"[{{match: [{{statPrefix: mine}}], {TO_CART}}}]")
    assert route["stat_prefix"] == "mine"
    path = route["metadata"]["filter_metadata"]["istio"]["config"]
    assert path == "/apis/networking.istio.io/v1/namespaces/default/virtual-service/routes"
