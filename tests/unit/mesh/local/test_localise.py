"""Does a localised configuration mean what istiod's means, at our addresses? What Envoy makes of it: tests/integration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos.envoy.configuration import Configuration
from chaos.envoy.translation import translate
from chaos.mesh.local.addresses import Block, Endpoint
from chaos.mesh.local.destinations import with_known_destinations
from chaos.mesh.local.localise import DESTINATION, OfferedPort, Place, localise
from chaos.mesh.local.stock import CONNECTION_MANAGER
from tests.meshes import MANIFESTS

Find = Callable[..., Any]
STORE = "store.shop.svc.cluster.local"


def local(find: Find, pod: str = "web", *, lowest: int = 1, **changes: Any) -> Configuration:
    world, found, _ = find(lowest=lowest, **changes)
    instance = found[pod]
    place = Place(
        block=Block(5, lowest),
        namespace="shop",
        sidecar=instance.sidecar,
        application=instance.application,
        proxy_port=15001,
        offered=instance.offered,
        sidecars=frozenset(i.sidecar for i in found.values()),
        folder=Path("/run"),
    )
    return localise(with_known_destinations(world, world.proxy(instance.pod.id), translate(world, instance.pod.id)), place)


def manager(configuration: Configuration, name: str) -> dict[str, Any]:
    listener = configuration.listener(name)
    assert listener is not None
    config = listener["filter_chains"][0]["filters"][-1]
    assert config["name"] == CONNECTION_MANAGER
    return dict(config["typed_config"])


def destination(config: dict[str, Any]) -> str:
    mutation = config["early_header_mutation_extensions"][-1]["typed_config"]["mutations"][0]["append"]["header"]
    assert mutation["key"] == DESTINATION
    return str(mutation["value"])


def test_listeners_stand_at_addresses_of_the_instance_and_refuse_to_share_them(find: Find) -> None:
    configuration = local(find)

    assert {listener["name"]: listener["address"] for listener in configuration.listeners} == {
        "outbound_http_proxy": Endpoint("127.5.1.1", 15001).proto,
        f"outbound_{STORE}_80": Endpoint("127.5.1.10", 80).proto,
        f"outbound_{STORE}_7000": Endpoint("127.5.1.10", 7000).proto,
        "outbound_web.shop.svc.cluster.local_8080": Endpoint("127.5.1.11", 8080).proto,
        "inbound_8080": Endpoint("127.5.1.1", 8080).proto,
    }
    assert {listener["enable_reuse_port"] for listener in configuration.listeners} == {False}


def test_every_way_out_has_the_same_routes_and_names_the_service_itself(find: Find) -> None:
    configuration = local(find)

    ways = [manager(configuration, name) for name in ("outbound_http_proxy", f"outbound_{STORE}_80")]
    assert [destination(way) for way in ways] == ["%REQ(:AUTHORITY)%", f"{STORE}:80"]
    assert [way["rds"]["route_config_name"] for way in ways] == ["http_proxy"] * 2
    (routes,) = configuration.routes
    assert (routes["vhost_header"], routes["request_headers_to_remove"]) == (DESTINATION, [DESTINATION])


def test_virtual_hosts_keep_name_and_routes_and_their_domains_get_the_port(find: Find) -> None:
    world, _, _ = find()
    translated = next(
        h for r in translate(world, "web.shop").routes if r["name"] == "80" for h in r["virtual_hosts"] if STORE in h["name"]
    )

    (routes,) = local(find).routes
    hosts = {host["name"]: host for host in routes["virtual_hosts"]}

    assert list(hosts) == [f"{STORE}:80", "web.shop.svc.cluster.local:8080", "allow_any"]
    store = hosts[f"{STORE}:80"]
    assert {k: v for k, v in store.items() if k != "domains"} == {k: v for k, v in translated.items() if k != "domains"}
    assert {"store:80", "store", "store.shop:80", f"{STORE}:80", STORE} <= set(store["domains"])
    web = hosts["web.shop.svc.cluster.local:8080"]["domains"]
    assert "web:8080" in web
    assert "web" not in web


def test_no_domain_stands_twice(find: Find) -> None:
    (routes,) = local(find).routes

    domains = [domain for host in routes["virtual_hosts"] for domain in host["domains"]]
    assert len(domains) == len(set(domains))


def test_endpoints_are_inside_the_clusters_and_ports_are_moved_where_they_need_a_privilege(find: Find) -> None:
    manifests = MANIFESTS.replace("containerPort: 9000", "containerPort: 443")

    configuration = local(find, lowest=1024, manifests=manifests)
    store = local(find, "store-1", lowest=1024, manifests=manifests)

    cluster = configuration.cluster(f"outbound|80|v1|{STORE}")
    assert cluster is not None
    assert cluster["type"] == "STATIC"
    endpoints = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert [e["endpoint"]["address"] for e in endpoints] == [Endpoint("127.5.2.1", 20443).proto, Endpoint("127.5.3.1", 20443).proto]
    inbound = store.cluster("inbound|443||")
    assert inbound is not None
    assert inbound["load_assignment"]["endpoints"] == [
        {"lb_endpoints": [{"endpoint": {"address": Endpoint("127.5.3.2", 20443).proto}}]}
    ]
    assert store.listener("inbound_443") is not None
    assert "upstream_bind_config" not in inbound


def test_a_stock_envoy_could_take_it(find: Find) -> None:
    configuration = local(find)

    assert "istio." not in str([manager(configuration, name)["http_filters"] for name in ("outbound_http_proxy", "inbound_8080")])
    assert {cluster["type"] for cluster in configuration.clusters} == {"STATIC"}
    assert not {"transport_socket", "transport_socket_matches"} & {key for cluster in configuration.clusters for key in cluster}


@pytest.mark.parametrize(("listener", "side"), [("outbound_http_proxy", "outbound"), ("inbound_8080", "inbound")])
def test_both_sides_write_our_access_log_alone(find: Find, listener: str, side: str) -> None:
    (log,) = manager(local(find), listener)["access_log"]

    told = {"istio_chaos": "sidecar", "side": side}
    assert told.items() <= log["typed_config"]["log_format"]["json_format"].items()
    assert log["typed_config"]["path"] == "/dev/stdout"


def test_a_sniffed_port_is_offered_both_ways_and_has_all_its_names(find: Find) -> None:
    configuration = local(
        find, manifests=MANIFESTS.replace("{name: http, port: 80, targetPort: main}", "{port: 80, targetPort: main}")
    )

    listener = configuration.listener(f"outbound_{STORE}_80")
    assert listener is not None
    (http,) = listener["filter_chains"]
    assert http["filter_chain_match"] == {"application_protocols": ["http/1.0", "http/1.1", "h2c"]}
    assert listener["default_filter_chain"]["filters"][-1]["name"] == "envoy.filters.network.tcp_proxy"
    assert listener["listener_filters"][0]["name"] == "envoy.filters.listener.http_inspector"
    (routes,) = configuration.routes
    domains = next(host["domains"] for host in routes["virtual_hosts"] if host["name"] == f"{STORE}:80")
    assert {"store:80", "store", "store.shop:80", f"{STORE}:80"} <= set(domains)


@pytest.mark.parametrize("capture", ["DEFAULT", "NONE"])
def test_an_ingress_of_a_sidecar_leads_to_the_port_it_names(find: Find, capture: str) -> None:
    ingress = f"{{port: {{number: 8080, protocol: HTTP, name: http}}, captureMode: {capture}, defaultEndpoint: '127.0.0.1:8081'}}"
    sidecar = f"""---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: web, namespace: shop}}
spec:
  workloadSelector: {{labels: {{app: web}}}}
  ingress: [{ingress}]
"""

    configuration = local(find, manifests=MANIFESTS + sidecar)

    listener = configuration.listener("inbound_8080")
    assert listener is not None
    assert listener["address"] == Endpoint("127.5.1.1", 8080).proto
    inbound = configuration.cluster("inbound|8080||")
    assert inbound is not None
    assert inbound["load_assignment"]["endpoints"] == [
        {"lb_endpoints": [{"endpoint": {"address": Endpoint("127.5.1.2", 8081).proto}}]}
    ]


def test_a_headless_service_is_balanced_over_its_pods(find: Find) -> None:
    headless = MANIFESTS.replace("  selector: {app: store}\n", "  clusterIP: None\n  selector: {app: store}\n")

    cluster = local(find, manifests=headless).cluster(f"outbound|80|v1|{STORE}")

    assert cluster is not None
    assert (cluster["type"], cluster["lb_policy"]) == ("STATIC", "LEAST_REQUEST")
    assert len(cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]) == 2


def test_a_proxy_that_reaches_nothing_still_says_so(tmp_path: Path) -> None:
    place = Place(
        block=Block(5), namespace="shop", sidecar="127.5.1.1", application="127.5.1.2", proxy_port=15001,
        offered=(OfferedPort(host=STORE, number=80, endpoint=Endpoint("127.5.1.10", 80), http=True, tcp=False),),
        sidecars=frozenset(), folder=tmp_path,
    )  # fmt: skip

    configuration = localise(Configuration(), place)

    (routes,) = configuration.routes
    (unknown,) = routes["virtual_hosts"]
    assert unknown["routes"][0]["direct_response"]["status"] == 502
    assert manager(configuration, f"outbound_{STORE}_80")["http_filters"][0]["name"] == "envoy.filters.http.router"
