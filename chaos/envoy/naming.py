"""What are things called? istiod's names of clusters and route configurations, written and read back in one place.

Facts: istio pilot/pkg/model/context.go (`BuildSubsetKey`, `ParseSubsetKey`) and model/gateway.go (`gatewayRDSRouteName`).
"""

from __future__ import annotations

from dataclasses import dataclass

from chaos.istio.services import Service, ServicePort

PASSTHROUGH = "PassthroughCluster"
BLACK_HOLE = "BlackHoleCluster"
INBOUND_PASSTHROUGH = "InboundPassthroughCluster"


@dataclass(frozen=True, slots=True)
class ClusterName:
    """`outbound|9080|v1|reviews.default.svc.cluster.local`, taken apart; zero and empty where it has another form."""

    direction: str = ""
    port: int = 0
    subset: str = ""
    host: str = ""


def outbound_cluster(port: int, subset: str, host: str) -> str:
    return f"outbound|{port}|{subset}|{host}"


def inbound_cluster(port: int) -> str:
    """`port` is the target port."""
    return f"inbound|{port}||"


def parse_cluster(name: str) -> ClusterName:
    parts = name.split("|")
    if len(parts) != 4 or not parts[1].isdigit():
        return ClusterName()
    return ClusterName(parts[0], int(parts[1]), parts[2], parts[3])


def stat_prefix(name: str) -> str:
    """The `;` marks the end of a name that may hold dots and colons (istio util.DelimitedStatsPrefix)."""
    return f"{name};"


def stat_name(pattern: str, service: Service, port: ServicePort, *, subset: str = "", target: int = 0) -> str:
    """The mesh's outboundClusterStatName or inboundClusterStatName filled in (istio telemetry.BuildStatPrefix)."""
    short = f"{service.name}.{service.namespace}" if service.kubernetes else service.hostname
    values = {
        "%SERVICE%": short,
        "%SERVICE_FQDN%": service.hostname,
        "%SUBSET_NAME%": subset,
        "%TARGET_PORT%": str(target),
        "%SERVICE_PORT%": str(port.number),
        "%SERVICE_PORT_NAME%": port.name,
        "%SERVICE_NAME%": service.name if service.kubernetes else service.hostname,
    }
    for placeholder, value in values.items():
        pattern = pattern.replace(placeholder, value)
    return pattern
