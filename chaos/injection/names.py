"""What are our things called? Names carry run and number and are never used twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PREFIX: Final = "istio-chaos"
LABEL_RUN: Final = "istio-chaos.dev/run"
LABEL_PATH: Final = "istio-chaos.dev/path"
LABEL_MANAGED: Final = "app.kubernetes.io/managed-by"
ANNOTATION_LEASE: Final = "istio-chaos.dev/lease"
"""`namespace/name`: while it is alive and of the same run, the object is."""
ANNOTATION_CALLEE: Final = "istio-chaos.dev/callee"
"""Of a Lease: the host it is about."""
ANNOTATION_DEADLINE: Final = "istio-chaos.dev/deadline"
"""Absolute, RFC 3339, never moved. No key of ours contains `istio.io`: each change of such a one is a full push."""

REAPER: Final = "istio-chaos-reaper"
"""The lease that a reaper renews in each namespace it looks after."""
STOP: Final = "istio-chaos-stop"
"""The ConfigMap that is the stop switch of its namespace."""

HEADER: Final = "x-istio-chaos"
"""Set by our route only: `caller;7`, `callee:all;7` or `callee:0,2;7`; taken off before the request leaves the proxy."""
HEADER_CALL: Final = "x-istio-chaos-call"
"""Names the call to its attempts; taken off as well."""
HEADER_FAILURE: Final = "x-istio-chaos-failure"
"""On the way back inside the proxy: the attempt met a connect failure or a reset, not an answer."""

FAULT_HEADERS: Final = (
    "x-envoy-fault-abort-request",
    "x-envoy-fault-abort-request-percentage",
    "x-envoy-fault-abort-grpc-request",
    "x-envoy-fault-delay-request",
    "x-envoy-fault-delay-request-percentage",
    "x-envoy-fault-throughput-response",
    "x-envoy-fault-throughput-response-percentage",
)


def path_name(run: str, number: int) -> str:
    """Name of one private path and of its route: `istio-chaos.<run>.<n>`."""
    return f"{PREFIX}.{run}.{number}"


def faults_key(path: str) -> str:
    """Of a proxy's runtime: at 0 the fault filters of a path, and no others, let everything pass."""
    return f"{path}.max_active_faults"


def object_name(path: str, part: str) -> str:
    """Kubernetes name of one of the two objects: `istio-chaos-<run>-<n>-stage`."""
    return f"{path.replace('.', '-')}-{part}"


def lease_name(host: str) -> str:
    """Of the lease of a callee: `istio-chaos.reviews.bookinfo.svc.cluster.local`."""
    return f"{PREFIX}.{host.replace('*', 'any')}"[:253].rstrip(".-")


def is_ours(name: str) -> bool:
    """A cluster, listener or route of any run of this project."""
    return name.startswith(PREFIX + ".")


def key(an_object: Mapping[str, Any]) -> tuple[str, str]:
    """(namespace, name) of a Kubernetes object."""
    return an_object["metadata"]["namespace"], an_object["metadata"]["name"]
