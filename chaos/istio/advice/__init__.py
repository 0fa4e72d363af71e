"""What works as written, but hardly as meant? Our own findings about faults, retries, timeouts and ejection.

They go beyond Istio's analyzers and are never of level Error: nothing here stops a manifest from being applied. They look
only at objects that istiod takes.

CHAOS0002  a fault bypasses a policy of the same route           CHAOS0003  a fault without a percentage never happens
CHAOS0004  a gRPC status as a fault on an HTTP port               CHAOS0005  the tries do not fit into the timeout
CHAOS0006  a try that is too slow is not retried                  CHAOS0007  outlier detection can never eject
CHAOS0008  `retries: {}` switches retries off                     CHAOS0009  requests that match no rule get a 404
CHAOS0010  a caller gives up before its callee does               CHAOS0011  retries multiply along a path

Not of resilience, hence in `lint`: CHAOS0012, a field that Istio does not have; CHAOS0013, one without effect on the local mesh;
CHAOS0014, fields that exclude each other.
"""

from __future__ import annotations

from chaos.istio.advice import ejection, paths, routes
from chaos.istio.analyze import Cluster
from chaos.istio.findings import Finding

__all__ = ["advise"]

_ADVISERS = (*routes.ADVISERS, ejection.ejection, paths.paths)


def advise(cluster: Cluster) -> list[Finding]:
    return [finding for adviser in _ADVISERS for finding in adviser(cluster)]
