"""Is an instance ready? Its application answers as its readiness probe asks, or takes connections where it has none."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing
from typing import Any

from chaos.istio.workloads import Pod
from chaos.mesh.local.addresses import Block, Endpoint
from chaos.mesh.local.instances import Application

_CONNECT_WITHIN = 0.25
"""Seconds. On loopback a listener answers at once."""


def ready(application: Application, pod: Pod, block: Block) -> bool:
    """One look. True for an application that listens nowhere: running is all it can do."""
    if application.endpoint is None:
        return True
    return _connects(application.endpoint) and _answers(application, pod, block)


def _connects(endpoint: Endpoint) -> bool:
    try:
        with closing(socket.create_connection((endpoint.address, endpoint.port), timeout=_CONNECT_WITHIN)):
            return True
    except OSError:
        return False


def _answers(application: Application, pod: Pod, block: Block) -> bool:
    probe: dict[str, Any] = application.raw.get("readinessProbe") or {}
    get = probe.get("httpGet")
    if not get or str(get.get("scheme", "HTTP")).upper() != "HTTP" or application.endpoint is None:
        return True
    named = pod.target_port(get.get("port", application.endpoint.port))
    port = application.endpoint.port if named is None else block.bindable(named)
    timeout = float(probe.get("timeoutSeconds") or 1)
    connection = http.client.HTTPConnection(application.endpoint.address, port, timeout=timeout)
    headers = {str(h["name"]): str(h["value"]) for h in get.get("httpHeaders") or ()}
    with closing(connection):
        try:
            connection.request("GET", str(get.get("path") or "/"), headers=headers)
            return 200 <= connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False
