"""Do the applications of a mesh forward our mark? Some requests at the entry, and what the sidecars wrote of them."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from chaos.errors import Unreachable
from chaos.mesh.port import Mesh
from chaos.model.marks import Mark
from chaos.model.readiness import Finding, error, info, warning
from chaos.observe.propagation import hops

REQUESTS: Final = 5
ANSWERED_WITHIN: Final = 15.0


def probe(mesh: Mesh, run: str, path: str) -> Iterator[Finding]:
    """One finding for each pod that a request came to. Nothing is injected. Raises Unreachable."""
    for finding in _probe(mesh, run, path):
        yield replace(finding, check="propagation")


def _probe(mesh: Mesh, run: str, path: str) -> Iterator[Finding]:
    if not mesh.sees_every_call:
        yield info(
            f"mesh/{mesh.identity.name}",
            "the sidecars' own logs tell nothing of marks there",
            means="whether applications forward tracing headers shows in the first window on an edge",
            remedy="Probe on the local mesh, where the same applications run",
        )
        return
    pods = [pod for pod in mesh.pods() if pod.proxy]
    offsets = {pod.id: mesh.read_log(pod, 0)[1] for pod in pods}
    flow = Mark(run=run, experiment=0).flow(0)
    statuses = [_get(mesh, path, flow.headers(number)) for number in range(REQUESTS)]
    mesh.flush_logs(pods)
    found = hops({pod.id: mesh.read_log(pod, offsets[pod.id])[0] for pod in pods}, flow.prefix)
    if not found:
        yield error(
            f"path{path}",
            f"its requests reached no sidecar with our mark (answers: {', '.join(map(str, statuses))})",
            means="nothing of them could be told from everybody else's",
            remedy="Look at the entry: does something in front of it take tracing headers away?",
        )
    for pod, hop in sorted(found.items()):
        if hop.lost:
            called = ", ".join(sorted(cluster.rpartition("|")[2] or cluster for cluster in hop.lost))
            yield warning(
                f"pod/{pod}",
                f"called {called} without any tracing header of the request that it served",
                means="faults on these edges hit nothing, since its calls cannot be told from everybody else's",
                remedy="Let it copy traceparent, baggage or the B3 headers from the request it serves to the calls it makes",
            )
        elif hop.forms:
            yield info(
                f"pod/{pod}",
                f"forwards {', '.join(sorted(hop.forms))}",
                means="the calls it makes for own traffic are own traffic",
                remedy="Nothing to do",
            )


def _get(mesh: Mesh, path: str, headers: dict[str, str]) -> int:
    address = mesh.address()
    url = urlsplit(address.url)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    with closing(kind(url.hostname or "", url.port, timeout=ANSWERED_WITHIN)) as connection:
        try:
            connection.request("GET", path, headers={**headers, **({"Host": address.host} if address.host else {})})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as failure:
            raise Unreachable(f"the entry {address.url}{path} does not answer: {failure}") from failure
    return answer.status
