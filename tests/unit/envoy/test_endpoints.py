"""What EDS would push for a proxy's clusters."""

from __future__ import annotations

from textwrap import indent

import pytest

from chaos.envoy.clusters import clusters
from chaos.envoy.endpoints import endpoints, socket_address

NODES = """
apiVersion: v1
kind: Node
metadata: {name: east, labels: {topology.kubernetes.io/region: east, topology.kubernetes.io/zone: east-1}}
---
apiVersion: v1
kind: Node
metadata: {name: west, labels: {topology.kubernetes.io/region: west, topology.kubernetes.io/zone: west-1}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {nodeName: east, containers: [{name: app}]}
"""


def pods(node, version, replicas=1):
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: catalog-{node}}}
spec:
  replicas: {replicas}
  template:
    metadata: {{labels: {{app: catalog, version: {version}}}}}
    spec: {{nodeName: {node}, containers: [{{name: app}}]}}
"""


def catalog(**spec):
    extra = "".join(f", {key}: {value}" for key, value in spec.items())
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: catalog}}
spec: {{selector: {{app: catalog}}, ports: [{{name: http, port: 80, targetPort: 8080}}]{extra}}}
"""


def rule(policy, subsets="[]"):
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: catalog}}
spec:
  host: catalog
  trafficPolicy: {policy}
  subsets: {subsets}
"""


NAME = "outbound|80||catalog.default.svc.cluster.local"


def pushed(world, name=NAME, proxy="web.default"):
    """(place, priority, weights of the endpoints) of one cluster's groups."""
    client = world.proxy(proxy)
    found = {a["cluster_name"]: a for a in endpoints(world, client, clusters(world, client))}[name]
    return [
        (g["locality"].get("region"), g.get("priority", 0), [e["load_balancing_weight"] for e in g.get("lb_endpoints", [])])
        for g in found.get("endpoints", [])
    ]


def test_an_endpoint_in_full(world_of):
    world = world_of(NODES, catalog(), pods("east", "v1"))
    client = world.proxy("web.default")

    assert endpoints(world, client, clusters(world, client)) == [
        {
            "cluster_name": NAME,
            "endpoints": [
                {
                    "locality": {"region": "east", "zone": "east-1"},
                    "load_balancing_weight": 1,
                    "lb_endpoints": [
                        {
                            "endpoint": {
                                "address": {
                                    "socket_address": {
                                        "address": world.pods_with("default", {"app": "catalog"})[0].ip,
                                        "port_value": 8080,
                                    }
                                }
                            },
                            "load_balancing_weight": 1,
                            "health_status": "HEALTHY",
                        }
                    ],
                }
            ],
        }
    ]


def test_groups_by_place(world_of):
    world = world_of(NODES, catalog(), pods("west", "v1"), pods("east", "v1", replicas=2))

    assert pushed(world) == [("east", 0, [1, 1]), ("west", 0, [1])]


def test_nobody_there(world_of):
    assert pushed(world_of(NODES, catalog())) == []


def test_a_name_that_says_nothing(world_of):
    world = world_of(NODES)
    added = {"name": "mine", "type": "EDS"}

    assert endpoints(world, world.proxy("web.default"), [added]) == [{"cluster_name": "mine"}]


def test_only_eds_clusters(world_of):
    world = world_of(NODES)

    assert (
        endpoints(world, world.proxy("web.default"), [{"name": "x", "type": "STATIC"}, {"name": "y", "type": "ORIGINAL_DST"}]) == []
    )


SUBSETS = """
- {name: v1, labels: {version: v1}}
- {name: all}
- {name: none, labels: {version: v9}}
- {name: west, labels: {topology.kubernetes.io/region: west}}
"""


@pytest.mark.parametrize(("subset", "places"), [("v1", ["east"]), ("all", ["east", "west"]), ("none", []), ("west", ["west"])])
def test_subsets(world_of, subset, places):
    world = world_of(
        NODES, catalog(), pods("east", "v1"), pods("west", "v2"), rule("{loadBalancer: {simple: RANDOM}}", indent(SUBSETS, "  "))
    )

    assert [place for place, _, _ in pushed(world, f"outbound|80|{subset}|catalog.default.svc.cluster.local")] == places


@pytest.mark.parametrize(
    ("service", "policy", "mesh", "priorities"),
    [
        pytest.param({}, None, None, [0, 0], id="nothing said"),
        pytest.param({}, "{outlierDetection: {}}", None, [0, 1], id="outlierDetection alone"),
        pytest.param({}, "{outlierDetection: {}}", {"localityLbSetting": {"enabled": False}}, [0, 0], id="off in the mesh"),
        pytest.param(
            {},
            "{outlierDetection: {}, loadBalancer: {localityLbSetting: {enabled: true}}}",
            {"localityLbSetting": {"enabled": False}},
            [0, 1],
            id="on in the rule",
        ),
        pytest.param(
            {}, "{outlierDetection: {}, loadBalancer: {localityLbSetting: {enabled: false}}}", None, [0, 0], id="off in the rule"
        ),
        pytest.param({"trafficDistribution": "PreferClose"}, None, None, [0, 1], id="PreferClose without any rule"),
        pytest.param({"trafficDistribution": "PreferSameNode"}, None, None, [0, 1], id="PreferSameNode"),
        pytest.param(
            {"trafficDistribution": "PreferClose"},
            "{loadBalancer: {localityLbSetting: {enabled: true}}}",
            None,
            [0, 0],
            id="a rule's setting beats trafficDistribution, and needs outlierDetection",
        ),
        pytest.param(
            {},
            None,
            {"localityLbSetting": {"distribute": [{"from": "east/*", "to": {"west/*": 100}}]}},
            [0, 0],
            id="the mesh's distribute gives no priorities",
        ),
    ],
)
def test_who_gives_priorities(world_of, service, policy, mesh, priorities):
    texts = [NODES, catalog(**service), pods("east", "v1"), pods("west", "v1"), *([rule(policy)] if policy else [])]

    assert [priority for _, priority, _ in pushed(world_of(*texts, mesh=mesh))] == priorities


def test_node_local(world_of):
    world = world_of(NODES, catalog(internalTrafficPolicy="Local"), pods("east", "v1"), pods("west", "v1"))

    assert [place for place, _, _ in pushed(world)] == ["east"]


def test_a_static_entry_with_a_name_among_its_addresses_leaves_it_out(world_of):
    entry = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: mixed}
spec:
  hosts: [mixed.example.com]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 192.0.2.1, weight: 7}, {address: other.example.com}]
"""
    assert pushed(world_of(NODES, entry), "outbound|80||mixed.example.com") == [(None, 0, [7])]


@pytest.mark.parametrize(
    ("address", "port", "expected"),
    [
        ("192.0.2.1", 80, {"socket_address": {"address": "192.0.2.1", "port_value": 80}}),
        ("/var/run/app.sock", 0, {"pipe": {"path": "/var/run/app.sock"}}),
        ("unix:///var/run/app.sock", 0, {"pipe": {"path": "/var/run/app.sock"}}),
    ],
)
def test_socket_address(address, port, expected):
    assert socket_address(address, port) == expected
