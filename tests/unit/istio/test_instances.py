"""What stands behind a service port."""

from __future__ import annotations

import pytest

from chaos.istio.instances import instances, is_ip, locality_label, with_topology

NODES = """
apiVersion: v1
kind: Node
metadata:
  name: n1
  labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-a, topology.istio.io/subzone: rack-1}
"""
PODS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: app, version: v1}}
    spec: {nodeName: n1, containers: [{name: app, ports: [{name: main, containerPort: 8001, protocol: TCP}]}]}
"""


def kubernetes_service(port):
    """The Service `app` with one port, written as inside braces."""
    return f"{{apiVersion: v1, kind: Service, metadata: {{name: app}}, spec: {{selector: {{app: app}}, ports: [{{{port}}}]}}}}"


def behind(world, host, number):
    """(port, weight, ready) of everything behind one port."""
    service = world.services_by_host[host][0]
    return [(i.port, i.weight, i.ready) for i in instances(world, service, service.port(number))]


def addresses(world, host, number):
    service = world.services_by_host[host][0]
    return [(i.address, i.port) for i in instances(world, service, service.port(number))]


@pytest.mark.parametrize(
    ("target", "port"), [("8001", 8001), ("main", 8001), ('"9000"', 9000), (None, 80)], ids=["number", "name", "text", "none"]
)
def test_target_port_of_pods(world_of, target, port):
    written = "" if target is None else f", targetPort: {target}"
    world = world_of(NODES, PODS, kubernetes_service(f"port: 80{written}"))

    assert behind(world, "app.default.svc.cluster.local", 80) == [(port, 1, True)] * 2


def test_a_pod_without_the_named_port_does_not_count(world_of):
    world = world_of(NODES, PODS, kubernetes_service("port: 80, targetPort: other"))

    assert behind(world, "app.default.svc.cluster.local", 80) == []


ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: entry}
spec:
  hosts: [entry.example.com]
"""


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        pytest.param(
            """
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  endpoints: [{address: 192.0.2.1, ports: {http: 9090}, weight: 5}, {address: 192.0.2.2}]""",
            [("192.0.2.1", 9090), ("192.0.2.2", 8080)],
            id="the endpoint's own port, else the target port",
        ),
        pytest.param(
            """
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: "unix:///var/run/app.sock"}]""",
            [("/var/run/app.sock", 0)],
            id="a socket",
        ),
        pytest.param(
            """
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]""",
            [("entry.example.com", 8080)],
            id="resolved by name: the host itself",
        ),
        pytest.param(
            """
  resolution: NONE
  ports: [{number: 80, name: http, protocol: HTTP}]""",
            [],
            id="not resolved: nothing",
        ),
        pytest.param(
            """
  addresses: [10.0.0.1, 10.0.0.2]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 192.0.2.1}]""",
            [("192.0.2.1", 80), ("192.0.2.1", 80)],
            id="twice for two addresses",
        ),
    ],
)
def test_service_entries(world_of, rest, expected):
    world = world_of(ENTRY + rest.lstrip("\n"))

    assert addresses(world, "entry.example.com", 80) == expected


def test_entries_of_one_host_and_namespace_add_up(world_of):
    port = "resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}]"
    entries = [
        f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{hosts: [x.example.com], {port}, endpoints: [{{address: {address}}}]}}
"""
        for name, namespace, address in (("a", "one", "192.0.2.1"), ("b", "one", "192.0.2.2"), ("c", "two", "192.0.2.3"))
    ]
    world = world_of(*entries)

    assert addresses(world, "x.example.com", 80) == [("192.0.2.1", 80), ("192.0.2.2", 80)]


WORKLOADS = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm}
spec: {address: 192.0.2.9, labels: {app: app}, ports: {http: 7070, main: 7071}, weight: 3, locality: eu/eu-b}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: named}
spec: {address: vm.example.com, labels: {app: app}}
"""


def test_a_selecting_entry_takes_pods_on_its_target_port_and_workload_entries_on_theirs(world_of):
    selecting = """
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {labels: {app: app}}
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8001}]
"""
    world = world_of(NODES, PODS, WORKLOADS, ENTRY + selecting)

    assert behind(world, "entry.example.com", 80) == [(8001, 1, True), (8001, 1, True), (8001, 1, False), (7070, 3, False)]


@pytest.mark.parametrize(("target", "expected"), [("8001", [7070]), ("main", [7071]), ("other", [])])
def test_workload_entries_behind_a_kubernetes_service_need_an_address_and_the_named_port(world_of, target, expected):
    world = world_of(WORKLOADS, kubernetes_service(f"name: http, port: 80, targetPort: {target}"))

    assert [port for port, _, _ in behind(world, "app.default.svc.cluster.local", 80)] == expected


LISTED = [
    """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: app-x, labels: {kubernetes.io/service-name: app}}
ports: [{name: http, port: 8080}]
endpoints:
- addresses: [192.0.2.1]
- {addresses: [192.0.2.2], conditions: {ready: false}}
""",
    """
apiVersion: v1
kind: Endpoints
metadata: {name: app}
subsets: [{addresses: [{ip: 192.0.2.1}], notReadyAddresses: [{ip: 192.0.2.2}], ports: [{name: http, port: 8080}]}]
""",
]


@pytest.mark.parametrize("listed", LISTED, ids=["EndpointSlice", "Endpoints"])
def test_without_a_selector_what_is_listed_counts(world_of, listed):
    world = world_of(listed, "{apiVersion: v1, kind: Service, metadata: {name: app}, spec: {ports: [{name: http, port: 80}]}}")

    assert addresses(world, "app.default.svc.cluster.local", 80) == [("192.0.2.1", 8080)]


def test_places_and_labels(world_of):
    marked = "{apiVersion: v1, kind: Pod, metadata: {name: moved, labels: {istio-locality: us.us-1}}, spec: {nodeName: n1}}"
    world = world_of(NODES, PODS, marked)
    pod = world.proxy("app-0.default").pod

    assert locality_label(pod) == "eu/eu-a/rack-1"
    assert locality_label(world.proxy("moved.default").pod) == "us/us-1"
    assert with_topology({"app": "x"}, "eu/eu-a/rack-1", "n1", "net") == {
        "app": "x",
        "topology.kubernetes.io/region": "eu",
        "topology.kubernetes.io/zone": "eu-a",
        "topology.istio.io/subzone": "rack-1",
        "topology.istio.io/cluster": "Kubernetes",
        "kubernetes.io/hostname": "n1",
        "topology.istio.io/network": "net",
    }


@pytest.mark.parametrize(
    ("text", "expected"), [("192.0.2.1", True), ("2001:db8::1", True), ("a.example", False), ("", False), ("unix:///a", False)]
)
def test_is_ip(text, expected):
    assert is_ip(text) is expected
