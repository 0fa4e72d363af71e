"""Everything CDS would push to a proxy."""

from __future__ import annotations

import json

import pytest

from chaos.envoy.clusters import clusters
from chaos.envoy.protocols import KEY, PASSTHROUGH

PROXIES = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: app, ports: [{name: main, containerPort: 8080, protocol: TCP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: gateway, labels: {istio: ingressgateway}}
spec: {containers: [{name: istio-proxy, image: auto}]}
"""
API = """
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{name: http, port: 80}]}
"""
NAME = "outbound|80||api.default.svc.cluster.local"
NO_LIMITS = {
    "thresholds": [
        {
            "max_connections": 4294967295,
            "max_pending_requests": 4294967295,
            "max_requests": 4294967295,
            "max_retries": 4294967295,
        }
    ]
}
LOOPBACK = {"source_address": {"address": "127.0.0.6", "port_value": 0}}


def of(world, proxy="web.default"):
    """Name -> cluster."""
    return {cluster["name"]: cluster for cluster in clusters(world, world.proxy(proxy))}


def rule(host="api", **spec):
    document = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "r"}}
    return json.dumps(document | {"spec": {"host": host, **spec}})


def entry(resolution, host="x.example.com", **spec):
    port = {"number": 80, "name": "http", "protocol": "HTTP"} | spec.pop("port", {})
    document = {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "e"}}
    return json.dumps(document | {"spec": {"hosts": [host], "resolution": resolution, "ports": [port], **spec}})


class TestOutbound:
    def test_a_service_without_any_rule(self, world_of):
        assert of(world_of(PROXIES, API))[NAME] == {
            "name": NAME,
            "type": "EDS",
            "alt_stat_name": f"{NAME};",
            "connect_timeout": "10s",
            "lb_policy": "LEAST_REQUEST",
            "common_lb_config": {},
            "circuit_breakers": NO_LIMITS,
            "eds_cluster_config": {
                "service_name": NAME,
                "eds_config": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
            },
        }

    def test_every_block_of_a_rule_arrives(self, world_of):
        policy = {
            "connectionPool": {"tcp": {"connectTimeout": "1s"}, "http": {"http1MaxPendingRequests": 5}},
            "outlierDetection": {"consecutive5xxErrors": 3, "minHealthPercent": 30},
            "loadBalancer": {"simple": "RANDOM"},
            "retryBudget": {},
        }
        cluster = of(world_of(PROXIES, API, rule(trafficPolicy=policy)))[NAME]

        assert cluster["connect_timeout"] == "1s"
        assert cluster["lb_policy"] == "RANDOM"
        assert cluster["circuit_breakers"]["thresholds"][0]["max_pending_requests"] == 5
        assert cluster["circuit_breakers"]["thresholds"][0]["retry_budget"]["min_retry_concurrency"] == 3
        assert cluster["common_lb_config"] == {"healthy_panic_threshold": {"value": 30}}
        assert cluster["outlier_detection"]["consecutive_5xx"] == 3

    def test_a_cluster_per_subset(self, world_of):
        subsets = [{"name": "v1", "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}}, {"name": "v2"}]
        made = of(world_of(PROXIES, API, rule(subsets=subsets)))

        names = [f"outbound|80|{subset}|api.default.svc.cluster.local" for subset in ("", "v1", "v2")]
        assert [made[name]["lb_policy"] for name in names] == ["LEAST_REQUEST", "RANDOM", "LEAST_REQUEST"]
        assert [made[name]["eds_cluster_config"]["service_name"] for name in names] == names

    def test_neither_udp_nor_external_names(self, world_of):
        dns = "{apiVersion: v1, kind: Service, metadata: {name: dns}, spec: {ports: [{name: u, port: 53, protocol: UDP}]}}"
        alias = """
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: api.default.svc.cluster.local, ports: [{name: http, port: 80}]}
"""
        made = of(world_of(PROXIES, API, dns, alias))

        assert [name for name in made if name.startswith("outbound")] == [NAME]

    @pytest.mark.parametrize(
        ("minor", "policy", "panic"),
        [
            ("1.29", {}, None),
            ("1.29", {"outlierDetection": {}}, {}),
            ("1.29", {"outlierDetection": {"minHealthPercent": 40}}, {"value": 40}),
            ("1.31", {}, {}),
            ("1.31", {"outlierDetection": {"minHealthPercent": 40}}, {}),
        ],
    )
    def test_panic(self, world_of, minor, policy, panic):
        world = world_of(PROXIES, API, rule(trafficPolicy=policy or {"loadBalancer": {"simple": "RANDOM"}}), profile=minor)

        assert of(world)[NAME]["common_lb_config"].get("healthy_panic_threshold") == panic

    @pytest.mark.parametrize(
        ("service", "setting", "mesh", "weighted"),
        [
            ("", None, None, False),
            ("", {"failover": [{"from": "a", "to": "b"}]}, None, True),
            ("", {"failoverPriority": ["a"]}, None, True),
            ("", {"distribute": [{"from": "a", "to": {"b": 100}}]}, None, True),
            ("", {"enabled": False, "distribute": [{"from": "a", "to": {"b": 100}}]}, None, False),
            ("", None, {"localityLbSetting": {"failover": [{"from": "a", "to": "b"}]}}, True),
            (", trafficDistribution: PreferClose", None, None, True),
        ],
    )
    def test_locality_weighted(self, world_of, service, setting, mesh, weighted):
        policy = {"outlierDetection": {}} | ({"loadBalancer": {"localityLbSetting": setting}} if setting else {})
        spec = API.replace("]}", f"]{service}}}")
        cluster = of(world_of(PROXIES, spec, rule(trafficPolicy=policy), mesh=mesh))[NAME]

        assert ("locality_weighted_lb_config" in cluster["common_lb_config"]) is weighted

    def test_sessions_keep_their_hosts(self, world_of):
        labelled = API.replace("name: api}", "name: api, labels: {istio.io/persistent-session: sid}}")
        cluster = of(world_of(PROXIES, labelled))[NAME]

        assert cluster["common_lb_config"] == {"override_host_status": {"statuses": ["HEALTHY", "DRAINING", "UNKNOWN", "DEGRADED"]}}

    @pytest.mark.parametrize(
        ("pattern", "stat"),
        [
            (None, NAME),
            ("%SERVICE%_%SERVICE_PORT%", "api.default_80"),
            ("%SERVICE_FQDN%|%SERVICE_PORT_NAME%|%SUBSET_NAME%", "api.default.svc.cluster.local|http|"),
            ("%SERVICE_NAME%:%TARGET_PORT%", "api:0"),
        ],
    )
    def test_stat_name(self, world_of, pattern, stat):
        mesh = {"outboundClusterStatName": pattern} if pattern else None

        assert of(world_of(PROXIES, API, mesh=mesh))[NAME]["alt_stat_name"] == f"{stat};"

    def test_the_mesh_upgrades_http_ports(self, world_of):
        made = of(world_of(PROXIES, API, mesh={"h2UpgradePolicy": "UPGRADE"}))

        assert made[NAME]["typed_extension_protocol_options"][KEY]["explicit_http_config"] == {"http2_protocol_options": {}}


class TestDiscovery:
    HEADLESS = API.replace("spec: {", "spec: {clusterIP: None, ")

    def test_headless_goes_where_the_caller_goes_but_not_at_gateways(self, world_of):
        world = world_of(PROXIES, self.HEADLESS)

        assert (of(world)[NAME]["type"], of(world)[NAME]["lb_policy"]) == ("ORIGINAL_DST", "CLUSTER_PROVIDED")
        assert "eds_cluster_config" not in of(world)[NAME]
        assert of(world, "gateway.default")[NAME]["type"] == "EDS"

    def test_an_unresolved_entry_may_change_the_port(self, world_of):
        name = "outbound|80||x.example.com"
        written = ({}, {"targetPort": 8443}, {"targetPort": 80})
        made = [of(world_of(PROXIES, entry("NONE", port=port)))[name].get("original_dst_lb_config") for port in written]

        assert made == [None, {"upstream_port_override": 8443}, {"upstream_port_override": 80}]

    def test_a_resolved_entry_never_changes_the_port_of_whom_the_caller_has_chosen(self, world_of):
        passthrough = {"trafficPolicy": {"loadBalancer": {"simple": "PASSTHROUGH"}}}
        world = world_of(
            PROXIES, entry("STATIC", port={"targetPort": 8443}), rule("x.example.com", subsets=[{"name": "v1"} | passthrough])
        )

        assert "original_dst_lb_config" not in of(world)["outbound|80|v1|x.example.com"]

    @pytest.mark.parametrize(("resolution", "kind"), [("DNS", "STRICT_DNS"), ("DNS_ROUND_ROBIN", "LOGICAL_DNS")])
    def test_names(self, world_of, resolution, kind):
        cluster = of(world_of(PROXIES, entry(resolution)))["outbound|80||x.example.com"]

        assert cluster["type"] == kind
        assert cluster["dns_refresh_rate"] == "60s"
        assert cluster["respect_dns_ttl"] is True
        assert cluster["load_assignment"] == {
            "cluster_name": "outbound|80||x.example.com",
            "endpoints": [
                {
                    "locality": {},
                    "load_balancing_weight": 1,
                    "lb_endpoints": [
                        {
                            "endpoint": {"address": {"socket_address": {"address": "x.example.com", "port_value": 80}}},
                            "load_balancing_weight": 1,
                        }
                    ],
                }
            ],
        }

    def test_the_mesh_sets_the_refresh_rate(self, world_of):
        made = of(world_of(PROXIES, entry("DNS"), mesh={"dnsRefreshRate": "5s"}))

        assert made["outbound|80||x.example.com"]["dns_refresh_rate"] == "5s"

    def test_endpoints_resolved_by_name_have_priorities_too(self, world_of):
        endpoints = [{"address": "a.example.com", "locality": "west"}, {"address": "b.example.com", "locality": "region-a/zone-1"}]
        policy = rule("x.example.com", trafficPolicy={"outlierDetection": {}})
        cluster = of(world_of(PROXIES, entry("DNS", endpoints=endpoints), policy))["outbound|80||x.example.com"]

        groups = cluster["load_assignment"]["endpoints"]
        assert [(g["locality"]["region"], g.get("priority", 0)) for g in groups] == [("region-a", 0), ("west", 1)]

    def test_a_subset_that_names_nobody_has_no_cluster(self, world_of):
        endpoints = [{"address": "a.example.com", "labels": {"version": "v1"}}]
        subsets = [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]
        made = of(world_of(PROXIES, entry("DNS", endpoints=endpoints), rule("x.example.com", subsets=subsets)))

        assert [name for name in made if name.startswith("outbound")] == [
            "outbound|80||x.example.com",
            "outbound|80|v1|x.example.com",
        ]

    @pytest.mark.parametrize(
        ("top", "subset", "kinds"),
        [
            ({"simple": "PASSTHROUGH"}, None, ["ORIGINAL_DST", "ORIGINAL_DST"]),
            ({"simple": "PASSTHROUGH"}, {"simple": "RANDOM"}, ["ORIGINAL_DST", "ORIGINAL_DST"]),
            ({"simple": "RANDOM"}, {"simple": "PASSTHROUGH"}, ["EDS", "ORIGINAL_DST"]),
        ],
    )
    def test_passthrough(self, world_of, top, subset, kinds):
        own = {"name": "v1"} | ({"trafficPolicy": {"loadBalancer": subset}} if subset else {})
        made = of(world_of(PROXIES, API, rule(trafficPolicy={"loadBalancer": top}, subsets=[own])))
        pair = [made[NAME], made["outbound|80|v1|api.default.svc.cluster.local"]]

        assert [cluster["type"] for cluster in pair] == kinds
        assert ["eds_cluster_config" in cluster for cluster in pair] == [kind == "EDS" for kind in kinds]


@pytest.mark.parametrize(
    ("tls", "selector", "expected"),
    [
        ({"mode": "DISABLE"}, None, None),
        ({"mode": "ISTIO_MUTUAL"}, None, None),
        ({"mode": "SIMPLE"}, None, {"auto_sni": True, "auto_san_validation": True}),
        ({"mode": "SIMPLE", "sni": "x"}, None, None),
        ({"mode": "SIMPLE", "credentialName": "secret"}, None, None),
        ({"mode": "SIMPLE", "credentialName": "configmap://ca"}, None, {"auto_sni": True, "auto_san_validation": True}),
        ({"mode": "SIMPLE", "credentialName": "secret"}, {"app": "web"}, {"auto_sni": True, "auto_san_validation": True}),
    ],
)
def test_tls_of_the_user_s_own(world_of, tls, selector, expected):
    spec = {"trafficPolicy": {"tls": tls}} | ({"workloadSelector": {"matchLabels": selector}} if selector else {})
    options = of(world_of(PROXIES, API, rule(**spec)))[NAME].get("typed_extension_protocol_options", {})

    assert options.get(KEY, {}).get("upstream_http_protocol_options") == expected


class TestStatic:
    def test_of_a_sidecar(self, world_of):
        keepalive = {"upstream_connection_options": {"tcp_keepalive": {"keepalive_probes": 3}}}
        made = of(world_of(PROXIES, mesh={"connectTimeout": "2s", "tcpKeepalive": {"probes": 3}}))
        passthrough = {
            "name": "PassthroughCluster",
            "type": "ORIGINAL_DST",
            "lb_policy": "CLUSTER_PROVIDED",
            "connect_timeout": "2s",
            "alt_stat_name": "PassthroughCluster;",
            "circuit_breakers": NO_LIMITS,
            "typed_extension_protocol_options": PASSTHROUGH,
        } | keepalive

        assert made == {
            "BlackHoleCluster": {
                "name": "BlackHoleCluster",
                "type": "STATIC",
                "connect_timeout": "2s",
                "alt_stat_name": "BlackHoleCluster;",
            },
            "PassthroughCluster": passthrough,
            "InboundPassthroughCluster": passthrough | {"name": "InboundPassthroughCluster", "upstream_bind_config": LOOPBACK},
        }

    def test_of_a_gateway(self, world_of):
        assert list(of(world_of(PROXIES), "gateway.default")) == ["BlackHoleCluster"]


SERVED = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: main}, {name: grpc, port: 81, targetPort: 9090}]}
"""


class TestInbound:
    def test_in_full(self, world_of):
        assert of(world_of(PROXIES, SERVED))["inbound|8080||"] == {
            "name": "inbound|8080||",
            "type": "ORIGINAL_DST",
            "lb_policy": "CLUSTER_PROVIDED",
            "alt_stat_name": "inbound|8080||;",
            "common_lb_config": {},
            "connect_timeout": "10s",
            "cleanup_interval": "9223372035s",
            "circuit_breakers": NO_LIMITS,
            "upstream_bind_config": LOOPBACK,
        }

    def test_a_cluster_per_target_port_in_its_protocol(self, world_of):
        made = of(world_of(PROXIES, SERVED))

        assert [name for name in made if name.startswith("inbound")] == ["inbound|8080||", "inbound|9090||"]
        assert made["inbound|9090||"]["typed_extension_protocol_options"][KEY]["explicit_http_config"] == {
            "http2_protocol_options": {}
        }

    def test_pool_and_budget_of_the_rule_and_nothing_else(self, world_of):
        policy = {
            "connectionPool": {"tcp": {"maxConnections": 7}, "http": {"h2UpgradePolicy": "UPGRADE"}},
            "outlierDetection": {"consecutive5xxErrors": 1},
            "loadBalancer": {"simple": "RANDOM"},
            "retryBudget": {"percent": 30},
        }
        cluster = of(world_of(PROXIES, SERVED, rule("web", trafficPolicy=policy)))["inbound|8080||"]
        limits = cluster["circuit_breakers"]["thresholds"][0]

        assert (limits["max_connections"], limits["retry_budget"]["budget_percent"]) == (7, {"value": 30})
        assert (cluster["lb_policy"], cluster["common_lb_config"]) == ("CLUSTER_PROVIDED", {})
        assert not {"outlier_detection", "typed_extension_protocol_options"} & cluster.keys()

    def test_the_first_service_by_name_decides(self, world_of):
        other = SERVED.replace("name: web}", "name: another}")
        pools = [
            rule(host, trafficPolicy={"connectionPool": {"tcp": {"maxConnections": n}}}) for host, n in (("web", 1), ("another", 2))
        ]
        named = [text.replace('"name": "r"', f'"name": "r{at}"') for at, text in enumerate(pools)]
        cluster = of(world_of(PROXIES, SERVED, other, *named))["inbound|8080||"]

        assert cluster["circuit_breakers"]["thresholds"][0]["max_connections"] == 2

    def test_localhost_instead_of_passthrough(self, world_of):
        cluster = of(world_of(PROXIES, SERVED, mesh={"inboundTrafficPolicy": {"mode": "LOCALHOST"}}))["inbound|8080||"]

        assert cluster["type"] == "STATIC"
        assert cluster["load_assignment"]["endpoints"] == [
            {"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 8080}}}}]}
        ]
        assert not {"upstream_bind_config", "cleanup_interval", "lb_policy"} & cluster.keys()

    def test_stat_name(self, world_of):
        mesh = {"inboundClusterStatName": "%SERVICE%_%TARGET_PORT%_%SERVICE_PORT%"}

        assert of(world_of(PROXIES, SERVED, mesh=mesh))["inbound|8080||"]["alt_stat_name"] == "web.default_8080_80;"


class TestSidecarIngress:
    def sidecar(self, ingress, **spec):
        document = {"apiVersion": "networking.istio.io/v1", "kind": "Sidecar", "metadata": {"name": "s"}}
        return json.dumps(document | {"spec": {"ingress": ingress, **spec}})

    def port(self, number, protocol="HTTP", **more):
        return {"port": {"number": number, "protocol": protocol, "name": "p"}, **more}

    @pytest.mark.parametrize(
        ("endpoint", "kind", "address", "bound"),
        [
            (None, "ORIGINAL_DST", None, True),
            ("127.0.0.1:9001", "STATIC", {"socket_address": {"address": "127.0.0.1", "port_value": 9001}}, False),
            ("unix:///app.sock", "STATIC", {"pipe": {"path": "/app.sock"}}, True),
        ],
    )
    def test_default_endpoint(self, world_of, endpoint, kind, address, bound):
        ingress = self.port(8080) | ({"defaultEndpoint": endpoint} if endpoint else {})
        cluster = of(world_of(PROXIES, SERVED, self.sidecar([ingress])))["inbound|8080||"]

        assert cluster["type"] == kind
        assert ("upstream_bind_config" in cluster) is bound
        if address:
            assert cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] == [{"endpoint": {"address": address}}]

    def test_any_address_means_the_pod_s(self, world_of):
        world = world_of(PROXIES, self.sidecar([self.port(7777, "GRPC", defaultEndpoint="0.0.0.0:7778")]))
        endpoint = of(world)["inbound|7777||"]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]

        assert endpoint["address"]["socket_address"] == {"address": world.proxy("web.default").ip, "port_value": 7778}

    def test_it_replaces_the_ports_of_the_services(self, world_of):
        made = of(world_of(PROXIES, SERVED, self.sidecar([self.port(7777)])))

        assert [name for name in made if name.startswith("inbound")] == ["inbound|7777||"]

    def test_whose_pool(self, world_of):
        ingress = [self.port(8080), self.port(9090, "GRPC", connectionPool={"tcp": {"maxConnections": 1}})]
        ruled = rule("web", trafficPolicy={"connectionPool": {"tcp": {"maxConnections": 300}}})
        with_pool, without = (
            of(world_of(PROXIES, SERVED, ruled, self.sidecar(ingress, **more)))
            for more in ({"inboundConnectionPool": {"tcp": {"maxConnections": 20}}}, {})
        )

        def limit(made, port):
            return made[f"inbound|{port}||"]["circuit_breakers"]["thresholds"][0]["max_connections"]

        assert [limit(with_pool, 8080), limit(with_pool, 9090)] == [20, 1]
        assert [limit(without, 8080), limit(without, 9090)] == [300, 1]


def test_gateways_know_every_visible_service_and_serve_none(world_of):
    private = API.replace("name: api", "name: hidden, namespace: other, annotations: {networking.istio.io/exportTo: .}")

    assert list(of(world_of(PROXIES, API, private), "gateway.default")) == [NAME, "BlackHoleCluster"]
