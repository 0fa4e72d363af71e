"""Who is there? Services and pods as every mesh tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """One port of a service. `http`: its traffic passes an HTTP connection manager, so that faults can act on it."""

    number: int
    name: str
    protocol: str
    """As Istio names it: HTTP, HTTP2, GRPC, TCP ..., and UnsupportedProtocol where nobody said."""

    @property
    def http(self) -> bool:
        # Nobody said: the sidecar looks at the first bytes, and routes what is HTTP by the same routes.
        return self.protocol in {"HTTP", "HTTP2", "GRPC", "GRPC-Web", "UnsupportedProtocol"}

    @property
    def grpc(self) -> bool:
        return self.protocol in {"GRPC", "GRPC-Web"}

    @property
    def http2(self) -> bool:
        return self.protocol in {"HTTP2", "GRPC"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service as callers know it."""

    name: str
    namespace: str
    host: str
    """Full name: `reviews.bookinfo.svc.cluster.local`."""
    ports: tuple[ServicePort, ...]
    selector: Mapping[str, str]
    headless: bool = False

    @property
    def external(self) -> bool:
        """A host of a ServiceEntry: callers know it by its host alone."""
        return self.name == self.host


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One instance of a workload, with or without a proxy."""

    name: str
    namespace: str
    workload: str
    """Name of its Deployment."""
    labels: Mapping[str, str]
    ip: str
    proxy: bool = True
    """False: no sidecar; its traffic cannot be faulted nor seen."""
    gateway: bool = False
    """True: the proxy is the workload (ingress gateway); filters need the context GATEWAY."""

    @property
    def id(self) -> str:
        """The proxy id as Istio writes it: `reviews-v2-0.bookinfo`."""
        return f"{self.name}.{self.namespace}"

    @property
    def version(self) -> str | None:
        return self.labels.get("version") or self.labels.get("app.kubernetes.io/version")

    def matches(self, selector: Mapping[str, str]) -> bool:
        return bool(selector) and selector.items() <= self.labels.items()
