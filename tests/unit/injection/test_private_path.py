from dataclasses import replace
from typing import Any

import pytest

from chaos.errors import Refused
from chaos.injection.callers import Callers
from chaos.injection.private_path import PrivatePath, private_path
from chaos.model.edge import Edge
from tests.unit.injection.conftest import CLUSTER, HOST, cluster, configuration, endpoint, path_in, pod, route

RETRIES = {"retry_on": "connect-failure,refused-stream,unavailable", "num_retries": 2}


def named(path: PrivatePath, kind: str, suffix: str) -> dict[str, Any]:
    resources = path.clusters if kind == "cluster" else path.listeners
    return next(r for r in resources if r["name"] == path.name + suffix)


def manager(listener: dict[str, Any], chain: int = 0) -> dict[str, Any]:
    return listener["filter_chains"][chain]["filters"][0]["typed_config"]


def call_routes(path: PrivatePath) -> list[dict[str, Any]]:
    return manager(named(path, "listener", ".call"))["route_config"]["virtual_hosts"][0]["routes"]


def test_routes_are_copied_whole_and_lead_to_private_clusters() -> None:
    first = {"name": "writes", "match": {"prefix": "/w"}, "route": {"cluster": CLUSTER, "timeout": "2s"}}
    path = path_in(configuration(first, route(timeout="1s", retry_policy=dict(RETRIES))))

    writes, default = call_routes(path)

    assert writes == {"name": "writes", "match": {"prefix": "/w"}, "route": {"cluster": f"{path.name}.0", "timeout": "2s"}}
    assert (default["route"]["cluster"], default["route"]["timeout"]) == (f"{path.name}.0", "1s")


def test_what_was_dumped_is_not_changed() -> None:
    seen = configuration(route(retry_policy=dict(RETRIES)))

    path_in(seen)

    assert seen == configuration(route(retry_policy=dict(RETRIES)))


def test_weighted_destinations_get_one_private_cluster_each() -> None:
    names = ["outbound|9080|v1|b", "outbound|9080|v2|b"]
    weighted = {"name": "default", "match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": [
        {"name": name, "weight": weight} for name, weight in zip(names, (90, 10), strict=True)]}}}  # fmt: skip
    path = path_in(configuration(weighted, clusters=tuple(cluster(name) for name in names)))

    assert call_routes(path)[0]["route"]["weighted_clusters"]["clusters"] == [
        {"name": f"{path.name}.0", "weight": 90},
        {"name": f"{path.name}.1", "weight": 10},
    ]
    assert path.replicas == ("10.1.0.2:9080", "10.1.0.3:9080")


def test_the_policy_of_a_cluster_is_copied_and_how_its_hosts_are_found_is_not() -> None:
    policy = {
        "outlier_detection": {"consecutive_5xx": 5},
        "circuit_breakers": {"thresholds": [{"max_requests": 7}]},
        "common_lb_config": {"healthy_panic_threshold": {}},
    }
    copied = named(path_in(configuration(clusters=(cluster(**policy),))), "cluster", ".0")

    assert {key: copied[key] for key in policy} == policy
    assert copied["type"] == "STATIC"
    assert not {"eds_cluster_config", "metadata", "@type", "filters"} & copied.keys()


def test_every_replica_is_reached_through_the_attempt_listener_and_has_its_own_chain(path: PrivatePath) -> None:
    endpoints = named(path, "cluster", ".0")["load_assignment"]["endpoints"][0]
    chains = named(path, "listener", ".attempt")["filter_chains"]

    assert endpoints["locality"] == {"region": "r"}
    assert [
        e["metadata"]["filter_metadata"]["envoy.filters.listener.original_dst"]["local"] for e in endpoints["lb_endpoints"]
    ] == [*path.replicas]
    assert [c["filter_chain_match"] for c in chains] == [
        {"destination_port": 9080, "prefix_ranges": [{"address_prefix": ip, "prefix_len": 32}]} for ip in ("10.1.0.2", "10.1.0.3")
    ]


def test_nothing_of_ours_reaches_the_application(path: PrivatePath) -> None:
    attempt = manager(named(path, "listener", ".attempt"))["route_config"]["virtual_hosts"][0]["routes"][0]

    removed = attempt["request_headers_to_remove"]
    assert {"x-istio-chaos", "x-istio-chaos-call", "x-envoy-fault-abort-request", "x-envoy-fault-delay-request-percentage"} <= {
        *removed
    }


@pytest.mark.parametrize(
    ("retry_on", "kinds"),
    [
        ("connect-failure,refused-stream,unavailable", {"connect-failure"}),
        ("reset-before-request", {"connect-failure"}),
        ("refused-stream", set()),
        ("5xx", {"connect-failure", "reset"}),
        ("gateway-error", {"connect-failure", "reset"}),
        ("connect-failure", {"connect-failure"}),
        ("reset", {"connect-failure", "reset"}),
        ("retriable-4xx", set()),
    ],
)
def test_retries_of_connect_failures_and_resets_still_see_them(retry_on: str, kinds: set[str]) -> None:
    policy = call_routes(path_in(configuration(route(retry_policy={"retry_on": retry_on, "num_retries": 2}))))[0]["route"][
        "retry_policy"
    ]

    assert {m["string_match"]["exact"] for m in policy.get("retriable_headers", [])} == kinds
    assert ("retriable-headers" in policy["retry_on"]) is bool(kinds)
    assert policy["retry_on"].startswith(retry_on)


def test_filters_that_the_routes_configure_run_on_the_private_path() -> None:
    cors = {
        "name": "envoy.filters.http.cors",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"},
    }
    other = {"name": "envoy.filters.http.grpc_stats"}
    seen = configuration({**route(), "typed_per_filter_config": {"envoy.filters.http.cors": {"@type": "CorsPolicy"}}})
    listener = {"name": "0.0.0.0_9080", "filter_chains": [{"filters": [{"name": "hcm", "typed_config": {
        "rds": {"route_config_name": "9080"}, "http_filters": [other, cors]}}]}]}  # fmt: skip
    seen = type(seen)(routes=seen.routes, clusters=seen.clusters, endpoints=seen.endpoints, listeners=(listener,))

    filters = manager(named(path_in(seen), "listener", ".call"))["http_filters"]

    assert [f["name"] for f in filters] == ["istio-chaos.fault", "envoy.filters.http.cors", "envoy.filters.http.router"]


def test_mutual_tls_is_chosen_per_replica() -> None:
    tls = {"name": "tlsMode-istio", "match": {"tlsMode": "istio"}, "transport_socket": {"name": "tls"}}
    plain = {"name": "tlsMode-disabled", "match": {}, "transport_socket": {"name": "raw"}}
    seen = configuration(clusters=(cluster(transport_socket_matches=[tls, plain]),))
    first = seen.endpoints[0]["endpoints"][0]["lb_endpoints"][0]
    first["metadata"] = {"filter_metadata": {"envoy.transport_socket_match": {"tlsMode": "istio"}}}

    path = path_in(seen)

    chains = named(path, "listener", ".attempt")["filter_chains"]
    leads_to = [
        c["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["cluster"] for c in chains
    ]
    assert leads_to == [f"{path.name}.direct.0.tlsMode-istio", f"{path.name}.direct.0.tlsMode-disabled"]
    assert named(path, "cluster", ".direct.0.tlsMode-istio")["transport_socket"] == {"name": "tls"}


def test_services_behind_one_weighted_route_keep_their_own_way_of_being_reached() -> None:
    names = ["outbound|9080||a", "outbound|9080||b"]
    weighted = {
        "name": "default",
        "match": {"prefix": "/"},
        "route": {"weighted_clusters": {"clusters": [{"name": n, "weight": 1} for n in names]}},
    }
    seen = configuration(weighted, clusters=tuple(cluster(n, transport_socket={"name": n}) for n in names))
    seen.endpoints[1]["endpoints"][0]["lb_endpoints"] = [endpoint("10.1.0.9")]

    path = path_in(seen)

    assert [named(path, "cluster", f".direct.{i}")["transport_socket"]["name"] for i in (0, 1)] == names


def test_hosts_are_hashed_by_their_real_address(path: PrivatePath) -> None:
    endpoints = named(path, "cluster", ".0")["load_assignment"]["endpoints"][0]["lb_endpoints"]

    assert [e["metadata"]["filter_metadata"]["envoy.lb"] for e in endpoints] == [{"hash_key": replica} for replica in path.replicas]


def test_own_traffic_is_not_mirrored() -> None:
    path = path_in(configuration(route(request_mirror_policies=[{"cluster": "shadow"}])))

    assert "request_mirror_policies" not in call_routes(path)[0]["route"]


def test_a_retry_policy_of_the_virtual_host_is_copied_and_sees_failures() -> None:
    seen = configuration()
    seen.routes[0]["virtual_hosts"][0]["retry_policy"] = {"retry_on": "reset", "num_retries": 1}

    copied = manager(named(path_in(seen), "listener", ".call"))["route_config"]["virtual_hosts"][0]

    assert copied["retry_policy"]["retry_on"] == "reset,retriable-headers"


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (configuration(clusters=(cluster(type="ORIGINAL_DST"),)), "original destinations"),
        (configuration(clusters=(cluster(transport_socket={"key": "[redacted]"}),)), "holds a secret in its own configuration"),
        (configuration(hosts=()), "has no endpoint"),
        (configuration(clusters=(cluster("another"),)), "503 NC"),
        (
            configuration(
                {**route(), "typed_per_filter_config": {"envoy.filters.http.fault": {"@type": "f", "abort": {"http_status": 500}}}}
            ),
            "already has a fault of its owner",
        ),
        (configuration({"name": "r", "match": {"prefix": "/"}, "route": {"cluster_header": "x"}}), "finds its cluster in a way"),
        (configuration(route(hash_policy=[{"connection_properties": {"source_ip": True}}])), "by the caller's address"),
        (configuration({**route(), "typed_per_filter_config": {"envoy.filters.http.lua": {}}}), "would run twice"),
        (configuration({**route(), "match": {"prefix": "/", "dynamic_metadata": [{}]}}), "what filters found out"),
        (configuration(hosts=("reviews.example.com",)), "is no IP address"),
    ],
    ids=[
        "original-dst",
        "secret",
        "no-endpoint",
        "missing-cluster",
        "owners-fault",
        "cluster-header",
        "source-hash",
        "lua",
        "metadata",
        "dns",
    ],
)
def test_what_cannot_be_copied_truthfully_is_refused(seen: Any, says: str) -> None:
    with pytest.raises(Refused, match=says):
        path_in(seen)


def test_our_own_routes_are_not_part_of_what_is_copied() -> None:
    ours = {"name": "istio-chaos.ffffffffffff.9", "match": {"prefix": "/"}, "route": {"cluster": "istio-chaos.ffffffffffff.9.call"}}

    assert [r["name"] for r in call_routes(path_in(configuration(ours, route())))] == ["default"]


def test_an_empty_fault_of_the_owner_is_no_fault() -> None:
    seen = configuration({**route(), "typed_per_filter_config": {"envoy.filters.http.fault": {"@type": "HTTPFault"}}})

    assert len(call_routes(path_in(seen))) == 1


GATEWAY_HOST = {
    "name": "shop.example.com:80",
    "domains": ["shop.example.com"],
    "routes": [
        {"match": {"prefix": "/c"}, "route": {"cluster": "outbound|9080||c.shop.svc.cluster.local"}},
        {"match": {"prefix": "/"}, "route": {"cluster": CLUSTER, "timeout": "1s"}},
    ],
}


def at_gateway(host: dict[str, Any]) -> PrivatePath:
    seen = replace(configuration(), routes=({"name": "http.80", "virtual_hosts": [host]},))
    callers = Callers(workload="gw", namespace="shop", labels=(("app", "gw"),), pods=(replace(pod("gw", "gw"), gateway=True),))
    return private_path(
        name="istio-chaos.0123456789ab.1", edge=Edge.of("gw -> b"), callers=callers, virtual_host=host["name"], grpc=False,
        configuration=seen, only_to=HOST,
    )  # fmt: skip


def test_of_a_gateways_virtual_host_only_the_routes_to_the_callee_are_copied() -> None:
    path = at_gateway(GATEWAY_HOST)

    assert [r["match"] for r in call_routes(path)] == [{"prefix": "/"}]
    assert path.route_configurations == ("http.80",)
    (match,) = path.matches
    assert match["headers"][0] == {"name": ":path", "string_match": {"safe_regex": {"regex": "/c.*"}}, "invert_match": True}


def test_a_fault_of_the_owner_on_another_services_route_is_none_of_ours() -> None:
    faulty = {**GATEWAY_HOST["routes"][0], "typed_per_filter_config": {"envoy.filters.http.fault": {"@type": "f", "abort": {}}}}  # type: ignore[index]

    assert at_gateway({**GATEWAY_HOST, "routes": [faulty, GATEWAY_HOST["routes"][1]]}).matches  # type: ignore[index]
