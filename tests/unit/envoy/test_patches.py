from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from chaos.envoy import patches
from chaos.envoy.configuration import Configuration
from chaos.envoy.httpfilters import CONNECTION_MANAGER
from chaos.envoy.translation import translate
from chaos.istio.documents import Document, read_text
from chaos.istio.world import World

WORLD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: gw, namespace: istio-system, labels: {istio: ingress}}
spec: {containers: [{name: istio-proxy}]}
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: istio-system}
spec: {selector: {istio: ingress}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front}
spec: {selector: {istio: ingress}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web, a.com]
  gateways: [mesh, front]
  http:
  - {name: one, match: [{uri: {prefix: /1}}], route: [{destination: {host: web}}]}
  - {name: two, match: [{uri: {prefix: /2}}], redirect: {uri: /}}
  - {name: rest, route: [{destination: {host: web}}]}
"""
VHOST = "web.default.svc.cluster.local:80"
CLUSTER = "outbound|80||web.default.svc.cluster.local"
HCM = f"filter: {{name: {CONNECTION_MANAGER}"
EMPTY_FAULT = "{'@type': type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}"
Patched = Callable[..., Configuration]


def envoy_filter(*config_patches: str, more: str = "", name: str = "ef", namespace: str = "default") -> str:
    return f"""
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{configPatches: [{", ".join(config_patches)}]{more}}}
"""


def patch(apply_to: str, operation: str, value: str = "", match: str = "") -> str:
    inside = f", value: {value}" if value else ""
    return f"{{applyTo: {apply_to}, match: {{{match}}}, patch: {{operation: {operation}{inside}}}}}"


@pytest.fixture
def patched(world_of: Callable[..., World]) -> Patched:
    def build(*texts: str, proxy: str = "web.default", profile: str = "1.29") -> Configuration:
        return translate(world_of(WORLD, *texts, profile=profile), proxy)

    return build


def documents(*texts: str) -> list[Document]:
    return [document for text in texts for document in read_text(text, Path("filters.yaml"))]


def managers(configuration: Configuration, direction: str) -> Iterable[dict[str, Any]]:
    for listener in configuration.listeners:
        if listener.get("traffic_direction") == direction:
            for chain in (*listener["filter_chains"], listener.get("default_filter_chain", {"filters": []})):
                yield from (f["typed_config"] for f in chain["filters"] if f["name"] == CONNECTION_MANAGER)


def filters(configuration: Configuration, direction: str, routes: str) -> list[str]:
    """Names of the HTTP filters of the connection manager with these routes, without those of Istio's build."""
    for config in managers(configuration, direction):
        if routes in (config.get("rds", {}).get("route_config_name"), config.get("route_config", {}).get("name")):
            return [f["name"] for f in config["http_filters"] if not f["name"].startswith("istio.")]
    raise AssertionError(f"no connection manager with the routes {routes}")


def routes(configuration: Configuration, name: str = "80", virtual_host: str = VHOST) -> list[dict[str, Any]]:
    found = configuration.route(name)
    assert found is not None
    return next(list(v["routes"]) for v in found["virtual_hosts"] if v["name"] == virtual_host)


def names(found: list[dict[str, Any]]) -> list[str]:
    return [str(route.get("name", "")) for route in found]


def virtual_hosts(configuration: Configuration, name: str = "80") -> dict[str, dict[str, Any]]:
    found = configuration.route(name)
    assert found is not None
    return {v["name"]: v for v in found["virtual_hosts"]}


# ------------------------------------------------------------------------------------------------------ which filters
@pytest.mark.parametrize(
    ("text", "concerned"),
    [
        (envoy_filter(), True),
        (envoy_filter(namespace="istio-system"), True),
        (envoy_filter(namespace="other"), False),
        (envoy_filter(more=", workloadSelector: {labels: {app: web}}"), True),
        (envoy_filter(more=", workloadSelector: {labels: {app: other}}"), False),
        (envoy_filter(more=", workloadSelector: {}"), True),
        (envoy_filter(more=", targetRefs: [{kind: Service, name: web}]"), False),
    ],
)
def test_whom_a_filter_concerns(world_of: Callable[..., World], text: str, concerned: bool) -> None:
    (document,) = documents(text)
    assert patches.concerns(document, world_of(WORLD).proxy("web.default")) is concerned


def test_priority_then_root_namespace_then_name(world_of: Callable[..., World]) -> None:
    texts = [
        envoy_filter(name="late", more=", priority: 5"),
        envoy_filter(name="b"),
        envoy_filter(name="a"),
        envoy_filter(name="z", namespace="istio-system"),
        envoy_filter(name="early", more=", priority: -5"),
    ]
    world = world_of(WORLD, *texts)
    assert [d.name for d in patches.filters_for(world, world.proxy("web.default"))] == ["early", "z", "a", "b", "late"]


@pytest.mark.parametrize(
    ("match", "profile", "applied"),
    [
        ("proxy: {proxyVersion: '^1\\.29.*'}", "1.29", True),
        ("proxy: {proxyVersion: '^1\\.29.*'}", "1.28", False),
        ("proxy: {metadata: {SOME: thing}}", "1.29", False),
    ],
)
def test_a_patch_may_ask_for_a_version(patched: Patched, match: str, profile: str, applied: bool) -> None:
    text = envoy_filter(patch("CLUSTER", "MERGE", "{connect_timeout: 7s}", match))
    cluster = patched(text, profile=profile).cluster(CLUSTER)
    assert cluster is not None
    assert (cluster["connect_timeout"] == "7s") is applied


# ------------------------------------------------------------------------------------------------------------- routes
AT_VHOST = f"context: SIDECAR_OUTBOUND, routeConfiguration: {{vhost: {{name: '{VHOST}'%s}}}}"
NEW_ROUTE = "{name: new, match: {prefix: /n}, direct_response: {status: 200}}"


@pytest.mark.parametrize(
    ("operation", "route", "expected"),
    [
        ("ADD", "", ["one", "two", "rest", "new"]),
        ("INSERT_FIRST", "", ["new", "one", "two", "rest"]),
        ("INSERT_FIRST", ", route: {name: two}", ["new", "one", "two", "rest"]),
        ("INSERT_FIRST", ", route: {name: gone}", ["one", "two", "rest"]),
        ("INSERT_BEFORE", ", route: {name: two}", ["one", "new", "two", "rest"]),
        ("INSERT_BEFORE", "", ["new", "one", "two", "rest"]),
        ("INSERT_AFTER", ", route: {name: two}", ["one", "two", "new", "rest"]),
        ("INSERT_AFTER", ", route: {name: gone}", ["one", "two", "rest"]),
        ("REMOVE", ", route: {name: two}", ["one", "rest"]),
        ("REMOVE", ", route: {action: REDIRECT}", ["one", "rest"]),
        ("REMOVE", ", route: {action: ROUTE}", ["two"]),
        ("REMOVE", "", []),
    ],
)
def test_routes_come_and_go(patched: Patched, operation: str, route: str, expected: list[str]) -> None:
    found = patched(envoy_filter(patch("HTTP_ROUTE", operation, NEW_ROUTE, AT_VHOST % route)))
    assert names(routes(found)) == expected


def test_routes_are_merged_first_and_added_then(patched: Patched) -> None:
    text = envoy_filter(
        patch("HTTP_ROUTE", "ADD", NEW_ROUTE, AT_VHOST % ""),
        patch("HTTP_ROUTE", "MERGE", "{stat_prefix: s, route: {timeout: 3s}}", AT_VHOST % ""),
    )
    one, two, _, new = routes(patched(text))
    assert (one["route"]["timeout"], one["stat_prefix"]) == ("3s", "s")
    assert "redirect" not in two and two["route"] == {"timeout": "3s"}
    assert "stat_prefix" not in new


def test_inserts_at_the_top_stack_up(patched: Patched) -> None:
    text = envoy_filter(
        patch("HTTP_ROUTE", "INSERT_FIRST", "{name: a}", AT_VHOST % ""),
        patch("HTTP_ROUTE", "INSERT_FIRST", "{name: b}", AT_VHOST % ""),
    )
    assert names(routes(patched(text)))[:2] == ["b", "a"]


@pytest.mark.parametrize(
    ("match", "applied"),
    [
        ("", True),
        ("context: SIDECAR_INBOUND", False),
        ("routeConfiguration: {portNumber: 80}", True),
        ("routeConfiguration: {portNumber: 81}", False),
        ("routeConfiguration: {name: '80'}", True),
        ("routeConfiguration: {name: '81'}", False),
        ("routeConfiguration: {vhost: {domainName: web}}", True),
        ("routeConfiguration: {vhost: {domainName: other}}", False),
        ("listener: {portNumber: 81}", True),
    ],
)
def test_which_virtual_hosts_are_meant(patched: Patched, match: str, applied: bool) -> None:
    found = patched(envoy_filter(patch("VIRTUAL_HOST", "MERGE", "{retry_policy: {num_retries: 9}}", match)))
    assert ("retry_policy" in virtual_hosts(found)[VHOST]) is applied


def test_virtual_hosts_come_and_go(patched: Patched) -> None:
    match = f"context: SIDECAR_OUTBOUND, routeConfiguration: {{name: '80', vhost: {{name: '{VHOST}'}}}}"
    text = envoy_filter(
        patch("VIRTUAL_HOST", "REMOVE", match=match),
        patch("VIRTUAL_HOST", "ADD", "{name: new, domains: [n]}", "routeConfiguration: {name: '80'}"),
    )
    found = virtual_hosts(patched(text))
    assert VHOST not in found
    assert found["new"] == {"name": "new", "domains": ["n"]}


def test_route_configurations_are_merged_only(patched: Patched) -> None:
    text = envoy_filter(
        patch(
            "ROUTE_CONFIGURATION", "MERGE", "{request_headers_to_remove: [x], validate_clusters: true}", "context: SIDECAR_OUTBOUND"
        ),
        patch("ROUTE_CONFIGURATION", "REMOVE"),
    )
    found = patched(text).route("80")
    assert found is not None
    assert (found["request_headers_to_remove"], found["validate_clusters"]) == (["x"], True)


def test_a_false_cannot_be_merged_over_a_true(patched: Patched) -> None:
    text = envoy_filter(patch("ROUTE_CONFIGURATION", "MERGE", "{ignore_port_in_host_matching: false}"))
    found = patched(text).route("80")
    assert found is not None
    assert found["ignore_port_in_host_matching"] is True


def test_inbound_routes_stand_in_their_listener(patched: Patched) -> None:
    match = "context: SIDECAR_INBOUND, routeConfiguration: {portNumber: 8080, vhost: {name: 'inbound|http|80'}}"
    found = patched(envoy_filter(patch("HTTP_ROUTE", "INSERT_FIRST", NEW_ROUTE, match)))
    tables = {config["route_config"]["name"]: config["route_config"] for config in managers(found, "INBOUND")}
    assert names(tables["inbound|8080||"]["virtual_hosts"][0]["routes"]) == ["new", "default"]
    assert names(routes(found)) == ["one", "two", "rest"]


@pytest.mark.parametrize(
    ("match", "applied"),
    [
        ("portNumber: 80", True),
        ("portNumber: 8080", False),
        ("name: http.8080", True),
        ("gateway: default/front", False),
        ("portName: http", False),
    ],
)
def test_at_a_gateway_the_port_of_the_server_is_meant(patched: Patched, match: str, applied: bool) -> None:
    text = envoy_filter(
        patch("HTTP_ROUTE", "ADD", NEW_ROUTE, f"context: GATEWAY, routeConfiguration: {{{match}}}"), namespace="istio-system"
    )
    found = routes(patched(text, proxy="gw.istio-system"), "http.8080", "a.com:80")
    assert ("new" in names(found)) is applied


# ----------------------------------------------------------------------------------------------------------- listeners
@pytest.mark.parametrize(
    ("operation", "sub_filter", "expected"),
    [
        ("ADD", "", ["grpc_stats", "fault", "cors", "router", "NEW"]),
        ("INSERT_FIRST", "", ["NEW", "grpc_stats", "fault", "cors", "router"]),
        ("INSERT_BEFORE", "router", ["grpc_stats", "fault", "cors", "NEW", "router"]),
        ("INSERT_AFTER", "fault", ["grpc_stats", "fault", "NEW", "cors", "router"]),
        ("INSERT_BEFORE", "gone", ["grpc_stats", "fault", "cors", "router"]),
        ("REPLACE", "cors", ["grpc_stats", "fault", "NEW", "router"]),
        ("REMOVE", "cors", ["grpc_stats", "fault", "router"]),
    ],
)
def test_http_filters_come_and_go(patched: Patched, operation: str, sub_filter: str, expected: list[str]) -> None:
    sub = f", subFilter: {{name: envoy.filters.http.{sub_filter}}}" if sub_filter else ""
    match = f"context: SIDECAR_INBOUND, listener: {{filterChain: {{{HCM}{sub}}}}}}}"
    found = patched(envoy_filter(patch("HTTP_FILTER", operation, f"{{name: NEW, typed_config: {EMPTY_FAULT}}}", match)))
    short = [name.removeprefix("envoy.filters.http.") for name in filters(found, "INBOUND", "inbound|8080||")]
    assert short == expected
    assert "NEW" not in filters(found, "OUTBOUND", "80")


def test_an_http_filter_is_merged(patched: Patched) -> None:
    value = "{name: envoy.filters.http.router, typed_config: {'@type': type.googleapis.com/x, suppress_envoy_headers: true}}"
    match = f"context: SIDECAR_OUTBOUND, listener: {{filterChain: {{{HCM}, subFilter: {{name: envoy.filters.http.router}}}}}}}}"
    for config in managers(patched(envoy_filter(patch("HTTP_FILTER", "MERGE", value, match))), "OUTBOUND"):
        router = config["http_filters"][-1]["typed_config"]
        assert router["@type"].endswith("router.v3.Router")
        assert router["suppress_envoy_headers"] is True


@pytest.mark.parametrize(
    ("listener", "applied"),
    [
        ("portNumber: 8080", True),
        ("portNumber: 80", False),
        ("name: virtualInbound", True),
        ("name: other", False),
        ("filterChain: {name: 0.0.0.0_8080}", True),
        ("filterChain: {name: other}", False),
        ("filterChain: {destinationPort: 8080}", True),
        ("filterChain: {destinationPort: 80}", False),
        ("filterChain: {transportProtocol: raw_buffer}", True),
        ("filterChain: {transportProtocol: quic}", False),
        ("filterChain: {applicationProtocols: h2}", False),
        ("filterChain: {sni: a}", False),
        ("filterChain: {filter: {name: envoy.http_connection_manager}}", False),
    ],
)
def test_which_chains_are_meant(patched: Patched, listener: str, applied: bool) -> None:
    match = f"context: SIDECAR_INBOUND, listener: {{{listener}}}"
    found = patched(envoy_filter(patch("HTTP_FILTER", "ADD", "{name: NEW}", match)))
    assert ("NEW" in filters(found, "INBOUND", "inbound|8080||")) is applied


def test_a_connection_manager_is_merged(patched: Patched) -> None:
    config = "{'@type': x, server_name: mine, use_remote_address: true, upgrade_configs: [{upgrade_type: CONNECT}]}"
    value = f"{{name: {CONNECTION_MANAGER}, typed_config: {config}}}"
    match = f"context: SIDECAR_OUTBOUND, listener: {{portNumber: 80, filterChain: {{{HCM}}}}}}}"
    (config,) = managers(patched(envoy_filter(patch("NETWORK_FILTER", "MERGE", value, match))), "OUTBOUND")
    assert (config["server_name"], config["use_remote_address"]) == ("mine", True)
    assert [upgrade["upgrade_type"] for upgrade in config["upgrade_configs"]] == ["websocket", "CONNECT"]


def test_network_filters_come_and_go(patched: Patched) -> None:
    match = "context: SIDECAR_OUTBOUND, listener: {name: 0.0.0.0_80%s}"
    text = envoy_filter(
        patch("NETWORK_FILTER", "INSERT_BEFORE", "{name: NEW}", match % f", filterChain: {{{HCM}}}}}"),
        patch("FILTER_CHAIN", "ADD", "{name: chain, filters: [{name: x}]}", match % ""),
        patch("LISTENER_FILTER", "REMOVE", match=match % ", listenerFilter: envoy.filters.listener.tls_inspector"),
        patch("LISTENER", "MERGE", "{per_connection_buffer_limit_bytes: 5}", match % ""),
    )
    listener = patched(text).listener("0.0.0.0_80")
    assert listener is not None
    first, added = listener["filter_chains"]
    assert [f["name"] for f in first["filters"]] == ["NEW", CONNECTION_MANAGER]
    assert added["name"] == "chain"
    assert [f["name"] for f in listener["listener_filters"]] == ["envoy.filters.listener.http_inspector"]
    assert listener["per_connection_buffer_limit_bytes"] == 5


@pytest.mark.parametrize(("context", "count"), [("ANY", 1), ("SIDECAR_OUTBOUND", 1), ("SIDECAR_INBOUND", 1), ("GATEWAY", 0)])
def test_a_listener_is_added_once(patched: Patched, context: str, count: int) -> None:
    found = patched(envoy_filter(patch("LISTENER", "ADD", "{name: new, internal_listener: {}}", f"context: {context}")))
    assert [li["name"] for li in found.listeners].count("new") == count


def test_a_listener_is_removed(patched: Patched) -> None:
    text = envoy_filter(patch("LISTENER", "REMOVE", match="context: SIDECAR_OUTBOUND, listener: {portNumber: 80}"))
    assert patched(text).listener("0.0.0.0_80") is None


def test_at_a_gateway_listeners_go_by_their_own_port(patched: Patched) -> None:
    match = "context: GATEWAY, listener: {portNumber: %d}"
    text = envoy_filter(
        patch("HTTP_FILTER", "ADD", "{name: by-bound-port}", match % 8080),
        patch("HTTP_FILTER", "ADD", "{name: by-server-port}", match % 80),
        namespace="istio-system",
    )
    found = filters(patched(text, proxy="gw.istio-system"), "OUTBOUND", "http.8080")
    assert "by-bound-port" in found
    assert "by-server-port" not in found


# ------------------------------------------------------------------------------------------------------------ clusters
@pytest.mark.parametrize(
    ("match", "outbound", "inbound"),
    [
        ("", True, True),
        ("context: SIDECAR_OUTBOUND", True, False),
        ("context: SIDECAR_INBOUND", False, True),
        (f"cluster: {{name: '{CLUSTER}'}}", True, False),
        ("cluster: {service: web.default.svc.cluster.local}", True, True),
        ("cluster: {service: web}", False, False),
        ("cluster: {portNumber: 80}", True, False),
        ("cluster: {portNumber: 8080}", False, True),
        ("cluster: {subset: v1}", False, False),
    ],
)
def test_which_clusters_are_meant(patched: Patched, match: str, outbound: bool, inbound: bool) -> None:
    found = patched(envoy_filter(patch("CLUSTER", "MERGE", "{connect_timeout: 7s}", match)))
    timeouts = [cluster["connect_timeout"] for name in (CLUSTER, "inbound|8080||") if (cluster := found.cluster(name))]
    assert timeouts == ["7s" if outbound else "10s", "7s" if inbound else "10s"]


def test_clusters_come_and_go(patched: Patched) -> None:
    text = envoy_filter(
        patch("CLUSTER", "REMOVE", match=f"cluster: {{name: '{CLUSTER}'}}"),
        patch("CLUSTER", "ADD", "{name: new, type: STATIC}"),
    )
    found = patched(text)
    assert found.cluster(CLUSTER) is None
    assert found.cluster("new") == {"name": "new", "type": "STATIC"}
    assert [cluster["name"] for cluster in found.clusters].count("new") == 1


def test_a_patch_with_a_transport_socket_changes_that_alone(patched: Patched) -> None:
    value = "{connect_timeout: 7s, transport_socket: {name: raw}}"
    cluster = patched(envoy_filter(patch("CLUSTER", "MERGE", value, f"cluster: {{name: '{CLUSTER}'}}"))).cluster(CLUSTER)
    assert cluster is not None
    assert (cluster["connect_timeout"], cluster["transport_socket"]) == ("10s", {"name": "raw"})


# --------------------------------------------------------------------------------------------------------- on its own
INSERT = envoy_filter(patch("HTTP_ROUTE", "INSERT_FIRST", NEW_ROUTE, AT_VHOST % ""))


def test_it_applies_on_top_of_what_is_patched_already(patched: Patched, world_of: Callable[..., World]) -> None:
    proxy = world_of(WORLD).proxy("web.default")
    before = patched(envoy_filter(patch("HTTP_ROUTE", "ADD", "{name: theirs}", AT_VHOST % "")))
    kept = copy.deepcopy(before)
    after = patches.apply(before, documents(INSERT), proxy)
    assert names(routes(after)) == ["new", "one", "two", "rest", "theirs"]
    assert before == kept


def test_what_does_not_change_is_shared(patched: Patched, world_of: Callable[..., World]) -> None:
    before = patched()
    after = patches.apply(before, documents(INSERT), world_of(WORLD).proxy("web.default"))
    assert after.clusters is before.clusters
    assert after.endpoints is before.endpoints
    assert virtual_hosts(after)["allow_any"] is virtual_hosts(before)["allow_any"]
    assert routes(after)[1] is routes(before)[0]


def test_filters_for_others_change_nothing(patched: Patched, world_of: Callable[..., World]) -> None:
    before = patched()
    other = documents(envoy_filter(patch("HTTP_ROUTE", "ADD", NEW_ROUTE), namespace="other"))
    assert patches.apply(before, other, world_of(WORLD).proxy("web.default")) is before


def test_what_is_patched_is_still_json(patched: Patched) -> None:
    found = patched(INSERT)
    assert json.loads(json.dumps(found.as_lists())) == found.as_lists()
