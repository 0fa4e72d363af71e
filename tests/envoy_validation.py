"""Would Envoy take it? Many configurations as one bootstrap, given to a real Envoy that only validates.

A stock Envoy has no `istio.*` filters, so these are left out; resources of other sources than this file (routes, endpoints and
secrets of "ads") need not come, so routes are written into their listeners, where Envoy sees them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from chaos.envoy.configuration import Configuration, Resource
from chaos.envoy.httpfilters import CONNECTION_MANAGER, without_istio_extensions
from chaos.mesh.local import binary

SECONDS = 60.0
"""Until a validation is given up; a thousand resources take about one."""
_TYPE = "type.googleapis.com/envoy"
_CONTROL_PLANE = ("ads", "sds-grpc")


def refusal(configurations: Sequence[Configuration], folder: Path) -> str:
    """What Envoy has against them; empty if nothing."""
    file = folder / "validated.json"
    file.write_text(json.dumps(_bootstrap(configurations)))
    command = [
        str(binary.find()),
        "--mode",
        "validate",
        "--config-path",
        str(file),
        "--log-level",
        "warning",
        "--skip-deprecated-logs",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit status {done.returncode}"


def _bootstrap(configurations: Sequence[Configuration]) -> Resource:
    grpc = {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "ads"}}]}
    found = [part for number, configuration in enumerate(configurations) for part in _numbered(configuration, f"{number}:")]
    return {
        "node": {"id": "validated", "cluster": "validated"},
        "dynamic_resources": {"ads_config": grpc},
        "static_resources": {
            "clusters": [*map(_control_plane, _CONTROL_PLANE), *(cluster for kind, cluster in found if kind == "cluster")],
            "listeners": [*map(_addressed, count(1), (listener for kind, listener in found if kind == "listener"))],
        },
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {"@type": f"{_TYPE}.extensions.bootstrap.internal_listener.v3.InternalListener"},
            }
        ],
    }


def _addressed(number: int, listener: Resource) -> Resource:
    """No two listeners may have one address, even where nobody listens."""
    if "internal_listener" in listener:
        return listener
    return {**listener, "address": {"socket_address": {"address": f"127.1.{number >> 8}.{number & 255}", "port_value": 1}}}


def _control_plane(name: str) -> Resource:
    """Named by every source, asked by none: a validating Envoy connects to nobody."""
    return {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name}}


def _numbered(configuration: Configuration, number: str) -> Iterator[tuple[str, Resource]]:
    """Clusters and listeners under names that no other configuration has."""
    endpoints = {assignment["cluster_name"]: assignment for assignment in configuration.endpoints}
    for cluster in configuration.clusters:
        yield "cluster", _static({**cluster, "name": number + cluster["name"]}, endpoints)
    routes = {route["name"]: route for route in configuration.routes}
    for listener in map(without_istio_extensions, configuration.listeners):
        yield "listener", {**_with_routes(listener, routes), "name": number + listener["name"]}
    for name, route in routes.items():
        yield "listener", _listener_of(number + name, route)


def _static(cluster: Resource, endpoints: Mapping[str, Resource]) -> Resource:
    """With the endpoints that would have come by EDS, so that they are seen as well."""
    if cluster.get("type") != "EDS":
        return cluster
    service = cluster["eds_cluster_config"]["service_name"]
    kept = {key: value for key, value in cluster.items() if key != "eds_cluster_config"}
    assignment = {**endpoints.get(service, {}), "cluster_name": cluster["name"]}
    return {**kept, "type": "STATIC", "load_assignment": assignment}


def _with_routes(value: Any, routes: Mapping[str, Resource]) -> Any:
    """The same with every `rds` of these routes replaced by the routes themselves; clusters are looked up at run time only."""
    if isinstance(value, list):
        return [_with_routes(part, routes) for part in value]
    if not isinstance(value, dict):
        return value
    out = {key: _with_routes(part, routes) for key, part in value.items()}
    if out.get("rds", {}).get("route_config_name") in routes:
        out["route_config"] = routes[out.pop("rds")["route_config_name"]]
    if "route_config" in out:
        out["route_config"] = {**out["route_config"], "validate_clusters": False}
    return out


def _listener_of(name: str, routes: Resource) -> Resource:
    manager = {
        "@type": f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "validated",
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.extensions.filters.http.router.v3.Router"}}
        ],
        "route_config": routes,
    }
    return {"name": name, "filter_chains": [{"filters": [{"name": CONNECTION_MANAGER, "typed_config": manager}]}]}
