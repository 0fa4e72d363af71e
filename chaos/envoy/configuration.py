"""What does one proxy get? The four lists of Envoy resources, in proto JSON with snake_case keys.

`translation` makes one, `patches` changes one into another, the local mesh writes it to files. Resources are plain
dicts that their readers never change in place: who wants a change copies what it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Listeners, route configurations, clusters and endpoints (ClusterLoadAssignments), in istiod's order and names."""

    listeners: tuple[Resource, ...] = ()
    routes: tuple[Resource, ...] = ()
    clusters: tuple[Resource, ...] = ()
    endpoints: tuple[Resource, ...] = ()

    def as_lists(self) -> dict[str, list[Resource]]:
        """As `istio-chaos translate -o json` prints it."""
        return {
            "listeners": list(self.listeners),
            "routes": list(self.routes),
            "clusters": list(self.clusters),
            "endpoints": list(self.endpoints),
        }

    def listener(self, name: str) -> Resource | None:
        return _named(self.listeners, name)

    def route(self, name: str) -> Resource | None:
        """The route configuration of that name, as `9080` or `http.8080`."""
        return _named(self.routes, name)

    def cluster(self, name: str) -> Resource | None:
        return _named(self.clusters, name)


def _named(resources: Iterable[Mapping[str, Any]], name: str) -> Resource | None:
    return next((dict(r) for r in resources if r.get("name") == name), None)
