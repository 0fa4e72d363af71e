"""What is written? Two EnvoyFilters per private path: the staged part and the switch.

Both in the callers' namespace, selected by the callers' labels, with a high fixed priority so that they act on what everybody
else's filters have left. Applied in the order stage, switch; removed in the order switch, stage: a route to a cluster that is
not there answers 503.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chaos.injection.names import (
    ANNOTATION_DEADLINE,
    ANNOTATION_LEASE,
    LABEL_MANAGED,
    LABEL_PATH,
    LABEL_RUN,
    PREFIX,
    object_name,
)
from chaos.injection.private_path import PrivatePath
from chaos.injection.switch import Live, routes
from chaos.model.marks import Mark

Json = dict[str, Any]

PRIORITY = 1000
"""Istio applies EnvoyFilters in ascending order: ours come last and copy nothing that comes later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What every object of a run says of itself."""

    run: str
    deadline: str
    """RFC 3339; absolute, never moved."""
    lease: str
    """`namespace/name` of the lease under which it is written."""


def stage(path: PrivatePath, by: Signature) -> Json:
    """Clusters and internal listeners: inert until a route leads there."""
    patches = [*(("CLUSTER", cluster) for cluster in path.clusters), *(("LISTENER", listener) for listener in path.listeners)]
    return _filter(
        path, "stage", by,
        [
            {"applyTo": kind, "match": {"context": path.callers.context}, "patch": {"operation": "ADD", "value": value}}
            for kind, value in patches
        ],
    )  # fmt: skip


def switch(path: PrivatePath, mark: Mark, live: Sequence[Live], by: Signature) -> Json:
    """The routes in front of the virtual host. Several INSERT_FIRST patches land in reverse order (measured on istiod 1.29.6)."""
    match = {"context": path.callers.context, "routeConfiguration": {"vhost": {"name": path.virtual_host}}}
    return _filter(
        path, "switch", by,
        [
            {"applyTo": "HTTP_ROUTE", "match": match, "patch": {"operation": "INSERT_FIRST", "value": route}}
            for route in reversed(routes(path.name, mark, live, path.matches))
        ],
    )  # fmt: skip


def _filter(path: PrivatePath, part: str, by: Signature, patches: Sequence[Json]) -> Json:
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {
            "name": object_name(path.name, part),
            "namespace": path.callers.namespace,
            "labels": {
                LABEL_MANAGED: PREFIX,
                LABEL_RUN: by.run,
                LABEL_PATH: path.name.rpartition(".")[2],
            },
            "annotations": {ANNOTATION_DEADLINE: by.deadline, ANNOTATION_LEASE: by.lease},
        },
        "spec": {
            "priority": PRIORITY,
            "workloadSelector": {"labels": dict(path.callers.labels)},
            "configPatches": list(patches),
        },
    }
