"""Who is there? Services and pods of the namespaces that matter, as the API server lists them.

The reading of services is `chaos.istio`'s: a port's protocol is decided there, and ServiceEntries are services of Istio like any
other. Pods are read here, as on a cluster they are what they are: a sidecar is a container, not an intention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from chaos.istio.documents import Document
from chaos.istio.inventory import service_of
from chaos.istio.workloads import TEMPLATE_HASH
from chaos.istio.world import World
from chaos.model.inventory import Pod, Service

Json = Mapping[str, Any]

PROXY: Final = "istio-proxy"
"""Name of the container whose Envoy it is, sidecar and gateway alike."""
LOAD: Final = "istio-chaos-load"
"""The workload of ours that load for services inside comes from."""
REVISION: Final = "istio.io/rev"
_TEMPLATES: Final = "inject.istio.io/templates"
_HASHES: Final = (TEMPLATE_HASH, "rollouts-pod-template-hash")
_OVER: Final = frozenset({"Succeeded", "Failed"})
_VERSION: Final = re.compile(r"^v?(\d+)\.(\d+)(?:\.\d+)?(?:[.-].*)?$")


def pods_of(listed: Iterable[Json]) -> tuple[Pod, ...]:
    """Those that run and have an address. Who is being ended gets no new requests and is no caller any more."""
    return tuple(_pod(raw) for raw in listed if _is_there(raw))


def services_of(services: Sequence[Json], entries: Sequence[Json]) -> tuple[Service, ...]:
    """Kubernetes' services and the hosts of ServiceEntries."""
    nowhere = Path("<cluster>")
    world = World.of([Document(raw=raw, file=nowhere, lines={}) for raw in (*services, *entries)])
    return tuple(service_of(service) for service in world.services)


def ready(raw: Json) -> bool:
    """Does Kubernetes send requests to it?"""
    conditions = (raw.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def version_of(listed: Iterable[Json]) -> str:
    """Istio's version, as the tag of a proxy's image says it; empty where none does."""
    for raw in listed:
        container = _proxy_container(raw)
        tag = str((container or {}).get("image", "")).partition("@")[0].rpartition(":")[2]
        if _VERSION.match(tag):
            return tag.removeprefix("v")
    return ""


def minor(version: str) -> tuple[int, int] | None:
    """(1, 29) of `1.29.6`, `1.29-distroless`; None for what is no version."""
    found = _VERSION.match(version)
    return (int(found[1]), int(found[2])) if found else None


def revision_of(listed: Iterable[Json]) -> str:
    """The control plane's revision that the proxies were injected by; empty where none says."""
    for raw in listed:
        metadata = raw.get("metadata") or {}
        found = (metadata.get("annotations") or {}).get(REVISION) or (metadata.get("labels") or {}).get(REVISION)
        if found and _proxy_container(raw):
            return str(found)
    return ""


def _is_there(raw: Json) -> bool:
    status = raw.get("status") or {}
    going = (raw.get("metadata") or {}).get("deletionTimestamp")
    return bool(status.get("podIP")) and status.get("phase") not in _OVER and not going


def _pod(raw: Json) -> Pod:
    metadata = raw["metadata"]
    return Pod(
        name=str(metadata["name"]),
        namespace=str(metadata["namespace"]),
        workload=_workload(metadata),
        labels={str(k): str(v) for k, v in (metadata.get("labels") or {}).items()},
        ip=str(raw["status"]["podIP"]),
        proxy=_proxy_container(raw) is not None,
        gateway=_is_gateway(raw),
    )


def _workload(metadata: Json) -> str:
    """What made it: of a ReplicaSet the Deployment (or Rollout) behind it, as the hash in its name tells."""
    owner = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), None)
    if owner is None:
        return str(metadata["name"])
    name = str(owner["name"])
    if owner.get("kind") != "ReplicaSet":
        return name
    labels = metadata.get("labels") or {}
    hashes = [str(labels[key]) for key in _HASHES if labels.get(key)]
    return next((name.removesuffix(f"-{one}") for one in hashes if name.endswith(f"-{one}")), name)


def _proxy_container(raw: Json) -> Json | None:
    """As a container, or (native sidecars) as an init container that goes on running."""
    spec = raw.get("spec") or {}
    native = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return next((c for c in (*(spec.get("containers") or ()), *native) if c.get("name") == PROXY), None)


def _is_gateway(raw: Json) -> bool:
    """Injected by the gateway template, or made of a proxy alone, or run as a router (the gateways of Istio's own charts)."""
    container = _proxy_container(raw)
    if container is None:
        return False
    annotations = (raw.get("metadata") or {}).get("annotations") or {}
    names = [str(c.get("name")) for c in (raw.get("spec") or {}).get("containers") or ()]
    is_router = [str(part) for part in container.get("args") or ()][:2] == ["proxy", "router"]
    return is_router or names == [PROXY] or "gateway" in str(annotations.get(_TEMPLATES, "")).split(",")
