"""How is Prometheus asked? By its HTTP API, for raw samples; what the answers mean is `chaos.observe.telemetry`'s business."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from typing import Any, Final

import httpx

from chaos.errors import Unreachable
from chaos.mesh.port import Pod, Telemetry
from chaos.model.bystanders import Bystanders
from chaos.model.edge import Edge
from chaos.observe import telemetry

PATIENCE: Final = 10.0
"""Seconds for one answer."""


class Prometheus(Telemetry):
    """The server at `url`, which scrapes the mesh's proxies. Thread-safe."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(timeout=PATIENCE, trust_env=False)

    def bystanders(self, edge: Edge, callers: Sequence[Pod], callee_host: str, start: float, end: float) -> Bystanders:
        length = end - start
        asked = [
            telemetry.queries(metric, ((pod.namespace, pod.workload) for pod in callers), callee_host, length)
            for metric in (telemetry.REQUESTS, telemetry.DURATIONS)
        ]
        requests, durations = ([series for query in queries for series in self._samples(query, end)] for queries in asked)
        return telemetry.read(edge, requests, durations, length)

    def check(self) -> str:
        answer = self._get("/api/v1/status/buildinfo")
        return f"Prometheus {answer.get('version', '?')} at {self._shown}"

    def close(self) -> None:
        self._client.close()

    def _samples(self, query: str, at: float) -> list[dict[str, Any]]:
        data = self._get("/api/v1/query", query=query, time=f"{at:.3f}")
        return list(data.get("result", []))

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        try:
            answer = self._client.get(self.url + path, params=parameters)
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unreachable(
                f"Prometheus at {self._shown}: {error or type(error).__name__}; "
                "see that targets: prometheus: in chaos.yaml is its address"
            ) from error
        if not isinstance(body, dict) or body.get("status") != "success":
            reason = body.get("error", "no reason given") if isinstance(body, dict) else "its answer is no JSON object"
            raise Unreachable(f"Prometheus at {self._shown} refused: {answer.status_code}: {reason}")
        return dict(body["data"])

    @property
    def _shown(self) -> str:
        """Without what may be a password."""
        parts = urllib.parse.urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
