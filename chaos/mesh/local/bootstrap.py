"""What is an Envoy started with? Its name, its admin interface, where its configuration comes from, and what Istio's bootstrap
turns on as well (istio tools/packaging/common/envoy_bootstrap.json): internal listeners and an admin layer of the runtime.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chaos.istio.workloads import Pod
from chaos.mesh.local.addresses import Endpoint

FLUSH_MILLISECONDS = 50
"""Envoy keeps log lines for 10 s by default; `Mesh.flush_logs` waits for none of it."""
DRAIN_SECONDS = 45
"""As pilot-agent starts it (istio pkg/envoy/proxy.go)."""
_TYPE = "type.googleapis.com/envoy.extensions"


def arguments(envoy: Path, bootstrap: Path) -> list[str]:
    """The command line. Envoy's own log goes to standard error, access logs to standard output."""
    return [
        str(envoy), "--config-path", str(bootstrap), "--concurrency", "1", "--disable-hot-restart",
        "--log-level", "warning", "--skip-deprecated-logs", "--file-flush-interval-msec", str(FLUSH_MILLISECONDS),
        "--drain-time-s", str(DRAIN_SECONDS), "--drain-strategy", "immediate",
    ]  # fmt: skip


def bootstrap(pod: Pod, *, admin: Endpoint, clusters: Path, listeners: Path) -> dict[str, Any]:
    """envoy.config.bootstrap.v3.Bootstrap"""
    return {
        "node": {
            "id": f"sidecar~{pod.ip}~{pod.id}~{pod.namespace}.svc.cluster.local",
            "cluster": f"{pod.labels.get('app') or pod.workload}.{pod.namespace}",
            "locality": pod.locality.proto(),
        },
        "admin": {"address": admin.proto},
        "dynamic_resources": {"cds_config": from_file(clusters), "lds_config": from_file(listeners)},
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {"@type": f"{_TYPE}.bootstrap.internal_listener.v3.InternalListener"},
            }
        ],
        "layered_runtime": {
            "layers": [
                {
                    "name": "istio",
                    "static_layer": {
                        "re2.max_program_size.error_level": 32768,
                        "envoy.reloadable_features.http_reject_path_with_fragment": False,
                    },
                },
                {"name": "admin", "admin_layer": {}},
            ]
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_TYPE}.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 2147483647,
                    },
                }
            ]
        },
    }


def from_file(path: Path) -> dict[str, Any]:
    """envoy.config.core.v3.ConfigSource. No `watched_directory`: the file's own rename is what Envoy looks for, and only that.

    Each such source costs one inotify instance, of which Linux gives a user 128 by default: hence endpoints inside the
    clusters, and one route configuration for all of a sidecar's listeners: three instances per proxy, not one per service.
    A gateway takes two, and one for each of its ports.
    """
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def routes_file(name: str) -> str:
    """The file of one route configuration: Envoy takes no more than one from each (measured)."""
    return f"rds.{name}.json"
