"""The files of a small shop: a front that calls a back, and what every pytest that runs on it is told."""

from __future__ import annotations

MANIFESTS = """\
apiVersion: v1
kind: Service
metadata: {name: NAME, namespace: shop}
spec: {selector: {app: NAME}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: shop}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: NAME, image: NAME, ports: [{containerPort: 80}]}]}
"""
TOPOLOGY = """\
local: {manifests: [shop.yaml]}
entry: {service: front, namespace: shop, port: 80}
"""
CONFTEST = """\
from chaos.testing.behaviour import Behaviour
from chaos.testing.fake import fake_mesh

pytest_chaos_mesh = fake_mesh({"front": Behaviour(calls=("back",), patience="1s", fallback="sorry")})
"""
HEAD = """\
import pytest
from chaos import Violated, abort, delay, expect

@pytest.fixture
def faulted(inject, load):
    def faulted(fault):
        with load("/", rate="20/s") as traffic, inject(fault, "front -> back"):
            return traffic.window("5s")
    return faulted
"""
OPTIONS = ("-p", "pytest_chaos", "-W", "error", "--chaos-mesh=fake")
