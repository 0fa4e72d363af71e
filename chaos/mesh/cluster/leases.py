"""Whose is it on a cluster? Leases of coordination.k8s.io, judged by the API server's clock.

The time of every answer's Date header is the only one that is believed; it has whole seconds, so an age may be wrong by one.
What is written names the version that was read: of two who want it at once, one gets a Conflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from chaos.errors import Conflict, LeaseLost, NotFound, Occupied
from chaos.injection.names import ANNOTATION_CALLEE, LABEL_MANAGED, LABEL_RUN, PREFIX
from chaos.mesh.cluster import kinds
from chaos.mesh.cluster.client import Client, Wanted
from chaos.mesh.leases import lost, occupied
from chaos.mesh.port import Lease, Leases

Json = dict[str, Any]

_TRIES: Final = 5
"""So often somebody else may be faster before it is given up."""


class ClusterLeases(Leases):
    """The leases of some namespaces; None is all of them."""

    def __init__(self, client: Client, namespaces: Sequence[str | None]) -> None:
        self._client = client
        self.namespaces = tuple(namespaces)

    def acquire(self, namespace: str, name: str, holder: str, *, valid: float, about: str = "") -> Lease:
        for last in range(_TRIES):
            raw, now = self._read(namespace, name)
            found = _lease(raw, now) if raw else None
            if found is not None and found.alive and found.holder != holder:
                raise Occupied(occupied(found))
            wanted = _object(namespace, name, holder, now, valid=valid, about=about, instead=raw)
            try:
                self._client.update(wanted) if raw else self._client.create(wanted)
            except Conflict:  # somebody was faster, or our own first try that got no answer
                if last == _TRIES - 1:
                    raise
                continue
            return Lease(namespace=namespace, name=name, holder=holder, age=0.0, valid=valid, about=about)
        raise AssertionError("the last try returns or raises")  # pragma: no cover

    def renew(self, lease: Lease) -> Lease:
        for last in range(_TRIES):
            raw, now = self._read(lease.namespace, lease.name)
            found = _lease(raw, now) if raw else None
            if raw is None or found is None or found.holder != lease.holder or not found.alive:
                raise LeaseLost(lost(lease, found))
            try:
                self._client.update({**raw, "spec": {**raw["spec"], "renewTime": _micro(now)}})
            except Conflict:
                if last == _TRIES - 1:
                    raise
                continue
            except NotFound as gone:
                raise LeaseLost(lost(lease, None)) from gone
            return lease
        raise AssertionError("the last try returns or raises")  # pragma: no cover

    def release(self, lease: Lease) -> None:
        for _ in range(_TRIES):
            raw, now = self._read(lease.namespace, lease.name)
            if raw is None or _lease(raw, now).holder != lease.holder:
                return
            with suppress(Conflict):  # renewed meanwhile, or taken over
                metadata = raw["metadata"]
                self._client.delete(
                    kinds.LEASE,
                    lease.name,
                    lease.namespace,
                    uid=metadata.get("uid", ""),
                    resource_version=metadata.get("resourceVersion", ""),
                )

    def find(self, namespace: str, name: str) -> Lease | None:
        raw, now = self._read(namespace, name)
        return _lease(raw, now) if raw else None

    def all(self) -> Sequence[Lease]:
        found = [raw for n in self.namespaces for raw in self._client.items(kinds.LEASE, n, labels=f"{LABEL_MANAGED}={PREFIX}")]
        now = self._client.now() if found else datetime.now(UTC)
        return [_lease(raw, now) for raw in found]

    def _read(self, namespace: str, name: str) -> tuple[Json | None, datetime]:
        """(the object, or None; the server's time)"""
        try:
            answer = self._client.call("GET", kinds.LEASE.path(namespace, name), about=Wanted("get", kinds.LEASE, namespace))
        except NotFound:
            return None, self._client.now()
        raw: Json = answer.json
        return raw, answer.date.astimezone(UTC)


def _object(namespace: str, name: str, holder: str, now: datetime, *, valid: float, about: str, instead: Json | None) -> Json:
    metadata = (instead or {}).get("metadata", {})
    transitions = (instead or {}).get("spec", {}).get("leaseTransitions", -1)
    return {
        "apiVersion": kinds.LEASE.api_version,
        "kind": kinds.LEASE.name,
        "metadata": {
            **{key: metadata[key] for key in ("uid", "resourceVersion") if key in metadata},
            "name": name,
            "namespace": namespace,
            "labels": {LABEL_MANAGED: PREFIX, LABEL_RUN: holder},
            "annotations": {ANNOTATION_CALLEE: about} if about else {},
        },
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": int(valid),
            "acquireTime": _micro(now),
            "renewTime": _micro(now),
            "leaseTransitions": transitions + 1,
        },
    }


def _lease(raw: Json, now: datetime) -> Lease:
    spec, metadata = raw.get("spec") or {}, raw["metadata"]
    renewed = spec.get("renewTime") or spec.get("acquireTime")
    # What was never renewed by anybody is nobody's.
    age = (now - datetime.fromisoformat(renewed)).total_seconds() if renewed else float("inf")
    return Lease(
        namespace=metadata["namespace"],
        name=metadata["name"],
        holder=spec.get("holderIdentity") or "",
        age=max(0.0, age),
        valid=float(spec.get("leaseDurationSeconds") or 0),
        about=(metadata.get("annotations") or {}).get(ANNOTATION_CALLEE, ""),
    )


def _micro(moment: datetime) -> str:
    """Kubernetes' MicroTime."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
