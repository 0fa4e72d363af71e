"""Which mesh do tests run? Two services of one program: `web` calls `store`, which has two replicas and a TCP port as well."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from chaos.mesh.port import Address
from chaos.model.topology import Entry, Local, LocalWorkload, Topology

ECHO = Path(__file__).with_name("echo.py")
MANIFESTS = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: http, port: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web, version: v1}}
    spec:
      containers:
      - name: web
        image: registry.example:5000/shop/echo:1.0
        env: [{name: COLOUR, value: "green"}]
        ports: [{containerPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: store, namespace: shop}
spec:
  selector: {app: store}
  ports:
  - {name: http, port: 80, targetPort: main}
  - {name: tcp-raw, port: 7000, targetPort: main}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: store, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: store, version: v1}}
    spec:
      containers:
      - name: store
        image: shop/echo
        ports: [{name: main, containerPort: 9000}]
        readinessProbe: {httpGet: {path: /ready, port: main}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: store, namespace: shop}
spec:
  host: store
  subsets: [{name: v1, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: store, namespace: shop}
spec:
  hosts: [store]
  http:
  - name: all
    timeout: 5s
    headers: {request: {set: {x-route: all}}}
    route: [{destination: {host: store, subset: v1}}]
"""


def topology(
    folder: Path,
    *,
    manifests: str = MANIFESTS,
    image: str = "shop/echo",
    env: Mapping[str, str] | None = None,
    command: tuple[str, ...] = ("python", "-S", str(ECHO)),
) -> Topology:
    """A topology whose manifests are written to `folder`; `command` and `env` are what runs for `image`."""
    file = folder / "shop.yaml"
    file.write_text(manifests)
    return Topology(
        file=folder / "chaos.yaml",
        entry=Entry(service="web", namespace="shop", port=8080),
        local=Local(manifests=(file,), workloads={image: LocalWorkload(command=command, cwd=folder, env=env or {})}),
    )


def get(address: Address, path: str, **headers: str) -> tuple[int, Any]:
    """(status, body; as JSON where it is)"""
    host, _, port = address.url.removeprefix("http://").partition(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=10)) as connection:
        connection.request("GET", path, headers={"host": address.host or f"{host}:{port}", **headers})
        answer = connection.getresponse()
        body = answer.read().decode()
    return answer.status, json.loads(body) if body.startswith("{") else body


def envoy_filter(name: str, *patches: Mapping[str, Any], app: str = "web", namespace: str = "shop") -> dict[str, Any]:
    """An object of ours, as `chaos.injection.objects` makes them."""
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": namespace, "labels": {"istio-chaos.dev/run": "0123456789ab"}},
        "spec": {"priority": 1000, "workloadSelector": {"labels": {"app": app}}, "configPatches": list(patches)},
    }


def route_in_front(virtual_host: str, name: str, **action: Any) -> dict[str, Any]:
    """A patch: one route before all others of a virtual host."""
    return {
        "applyTo": "HTTP_ROUTE",
        "match": {"context": "SIDECAR_OUTBOUND", "routeConfiguration": {"vhost": {"name": virtual_host}}},
        "patch": {"operation": "INSERT_FIRST", "value": {"name": name, "match": {"prefix": "/"}, **action}},
    }


def addition(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A patch that adds a CLUSTER or LISTENER."""
    return {"applyTo": kind, "match": {"context": "SIDECAR_OUTBOUND"}, "patch": {"operation": "ADD", "value": dict(value)}}
