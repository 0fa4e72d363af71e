"""A small mesh in memory: a calls b (two replicas) under a policy; the shapes are those of a real proxy's dump."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.envoy.configuration import Configuration
from chaos.injection.callers import Callers
from chaos.injection.private_path import PrivatePath, private_path
from chaos.model.edge import Edge
from chaos.model.inventory import Pod, Service, ServicePort

HOST = "b.shop.svc.cluster.local"
VIRTUAL_HOST = f"{HOST}:9080"
CLUSTER = f"outbound|9080||{HOST}"
UNLIMITED = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), 4294967295)
"""What istiod writes where a DestinationRule limits nothing."""


def pod(name: str, workload: str, namespace: str = "shop", **labels: str) -> Pod:
    return Pod(name=name, namespace=namespace, workload=workload, labels={"app": workload, **labels}, ip="10.0.0.1")


def service(name: str, protocol: str = "HTTP", **changes: Any) -> Service:
    fields = {
        "name": name,
        "namespace": "shop",
        "host": f"{name}.shop.svc.cluster.local",
        "ports": (ServicePort(number=9080, name="http", protocol=protocol),),
        "selector": {"app": name},
    }
    return Service(**fields | changes)


def endpoint(address: str) -> dict[str, Any]:
    return {"endpoint": {"address": {"socket_address": {"address": address, "port_value": 9080}}}, "load_balancing_weight": 1}


def virtual_host(*routes: dict[str, Any]) -> dict[str, Any]:
    return {"name": VIRTUAL_HOST, "domains": ["b", HOST], "include_request_attempt_count": True, "routes": list(routes)}


def route(**action: Any) -> dict[str, Any]:
    return {"name": "default", "match": {"prefix": "/"}, "route": {"cluster": CLUSTER, **action}}


def cluster(name: str = CLUSTER, **fields: Any) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"service_name": name, "eds_config": {"ads": {}}},
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [UNLIMITED]},
        "metadata": {"filter_metadata": {"istio": {}}},
        **fields,
    }


def configuration(
    *routes: dict[str, Any], clusters: tuple[dict[str, Any], ...] = (), hosts: tuple[str, ...] = ("10.1.0.2", "10.1.0.3")
) -> Configuration:
    clusters = clusters or (cluster(),)
    return Configuration(
        routes=({"name": "9080", "virtual_hosts": [virtual_host(*(routes or (route(),)))]},),
        clusters=clusters,
        endpoints=tuple(
            {"cluster_name": c["name"], "endpoints": [{"locality": {"region": "r"}, "lb_endpoints": [endpoint(h) for h in hosts]}]}
            for c in clusters
        ),
    )


def path_in(seen: Configuration, name: str = "istio-chaos.0123456789ab.1") -> PrivatePath:
    callers = Callers(workload="a", namespace="shop", labels=(("app", "a"),), pods=(pod("a-1", "a"),))
    return private_path(
        name=name, edge=Edge.of("a -> b"), callers=callers, virtual_host=VIRTUAL_HOST, grpc=False, configuration=seen
    )


@pytest.fixture
def path() -> PrivatePath:
    return path_in(configuration())
