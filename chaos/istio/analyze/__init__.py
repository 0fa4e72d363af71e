"""What would `istioctl analyze` find? Its analyzers, for manifests alone: references, conflicts, patches, annotations.

One module per group of analyzers; each has functions from a `Cluster` to findings, listed in its ANALYZERS, and codes,
levels and messages as istioctl has them (istio pkg/config/analysis/msg). The findings of validation (IST0106, IST0130,
IST0131, IST0133) come from `validate`. Left out are the analyzers that need running clusters: versions, permissions,
proxy images, several clusters, external control planes.
"""

from __future__ import annotations

from chaos.istio.analyze import (
    destinationrules,
    envoyfilters,
    gateways,
    injection,
    metadata,
    policies,
    ports,
    sidecars,
    users,
    virtualservices,
    webhooks,
)
from chaos.istio.analyze.cluster import Cluster, Object
from chaos.istio.findings import Finding

__all__ = ["Cluster", "Object", "analyze"]

_MODULES = (
    virtualservices,
    destinationrules,
    gateways,
    envoyfilters,
    sidecars,
    policies,
    ports,
    injection,
    webhooks,
    metadata,
    users,
)


def analyze(cluster: Cluster) -> list[Finding]:
    return [finding for module in _MODULES for analyzer in module.ANALYZERS for finding in analyzer(cluster)]
