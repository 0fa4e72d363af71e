"""What are the objects called in an API server's paths? The few kinds that are asked for, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of object in the version that is spoken here."""

    name: str
    plural: str
    version: str
    group: str = ""
    """Empty: the core group."""
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None, subresource: str = "") -> str:
        """`/apis/networking.istio.io/v1alpha3/namespaces/shop/envoyfilters/one`."""
        parts = ["apis" if self.group else "api", *self.api_version.split("/")]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(quote(part, safe="") for part in parts)


ENVOY_FILTER = Kind(name="EnvoyFilter", plural="envoyfilters", group="networking.istio.io", version="v1alpha3")
SERVICE_ENTRY = Kind(name="ServiceEntry", plural="serviceentries", group="networking.istio.io", version="v1alpha3")
VIRTUAL_SERVICE = Kind(name="VirtualService", plural="virtualservices", group="networking.istio.io", version="v1")
DESTINATION_RULE = Kind(name="DestinationRule", plural="destinationrules", group="networking.istio.io", version="v1")
HTTP_ROUTE = Kind(name="HTTPRoute", plural="httproutes", group="gateway.networking.k8s.io", version="v1")
LEASE = Kind(name="Lease", plural="leases", group="coordination.k8s.io", version="v1")
POD = Kind(name="Pod", plural="pods", version="v1")
SERVICE = Kind(name="Service", plural="services", version="v1")
CONFIG_MAP = Kind(name="ConfigMap", plural="configmaps", version="v1")
NAMESPACE = Kind(name="Namespace", plural="namespaces", version="v1", namespaced=False)
NODE = Kind(name="Node", plural="nodes", version="v1", namespaced=False)
DEPLOYMENT = Kind(name="Deployment", plural="deployments", group="apps", version="v1")
ACCESS_REVIEW = Kind(
    name="SelfSubjectAccessReview",
    plural="selfsubjectaccessreviews",
    group="authorization.k8s.io",
    version="v1",
    namespaced=False,
)
