"""What does Prometheus know of the others? Istio's standard metrics of an edge, asked for as raw scrapes and counted here.

`rate` and `increase` extrapolate beyond the scrapes they have, which is right for a dashboard and wrong for evidence. So the
raw samples of the stretch are asked for, and only what rose between the first and the last scrape inside it is counted.

Own traffic is not among it: on the private path the caller's proxy takes a cluster of ours, which carries no name of a service, so
that its requests have another `destination_service` than the callee's own.
Metrics and labels: istio.io/latest/docs/reference/config/metrics.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from chaos.model.bystanders import Bystanders
from chaos.model.edge import Edge

REQUESTS: Final = "istio_requests_total"
DURATIONS: Final = "istio_request_duration_milliseconds_bucket"
_SERVER_FAILED: Final = frozenset({"2", "4", "8", "13", "14", "15"})
"""gRPC: UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE, DATA_LOSS."""

Series = Mapping[str, Any]
"""`{"metric": {"reporter": "source", ...}, "values": [[seconds, "count"], ...]}`, as the API answers."""
Matrix = Sequence[Series]
"""`data.result` of a query for raw samples."""


def queries(metric: str, callers: Iterable[tuple[str, str]], callee_host: str, seconds: float) -> list[str]:
    """For the raw samples of the last `seconds` of one metric, as the proxies of these (namespace, workload) report it.

    One for each namespace of callers: ranges of samples cannot be joined in PromQL.
    """
    workloads: dict[str, set[str]] = defaultdict(set)
    for namespace, workload in callers:
        workloads[namespace].add(workload)
    return [
        f"{metric}{{{_labels(namespace, names, callee_host)}}}[{max(1, round(seconds))}s]"
        for namespace, names in sorted(workloads.items())
    ]


def read(edge: Edge, requests: Matrix, durations: Matrix, stretch: float) -> Bystanders:
    """What rose between the first and the last scrape. `stretch` is the length that was asked for, in seconds."""
    scrapes = {float(at) for series in requests for at, _ in series["values"]}
    if not scrapes:
        return Bystanders(
            edge=edge,
            doubt=f"Prometheus has no {REQUESTS} of {edge}: nobody else calls there, or it does not scrape the callers' sidecars",
        )
    first = _first_scrapes([*requests, *durations])
    if not any(float(series["values"][-1][0]) > first[_target(series)] for series in requests):
        return Bystanders(
            edge=edge,
            doubt=f"Prometheus scraped only once within {stretch:.0f} s; take a window of at least two of its scrape intervals",
        )
    counts = [(series["metric"], _risen(series, first[_target(series)])) for series in requests]
    return Bystanders(
        edge=edge,
        began=min(scrapes),
        ended=max(scrapes),
        requests=sum(count for _, count in counts),
        errors=sum(count for metric, count in counts if _failed(metric)),
        buckets=_buckets(durations, first),
    )


def _labels(namespace: str, workloads: Iterable[str], callee_host: str) -> str:
    pattern = "|".join(name.replace(".", r"\.") for name in sorted(workloads))  # DNS names have no other sign of a regex
    labels = {"reporter": "source", "source_workload_namespace": namespace, "destination_service": callee_host}
    exact = [f"{name}={json.dumps(value)}" for name, value in labels.items()]
    return ",".join([*exact, f"source_workload=~{json.dumps(pattern)}"])


def _target(series: Series) -> tuple[str, str]:
    """Which proxy it was scraped from: each has a rhythm of its own."""
    return series["metric"].get("instance", ""), series["metric"].get("pod", "")


def _first_scrapes(found: Iterable[Series]) -> dict[tuple[str, str], float]:
    first: dict[tuple[str, str], float] = {}
    for series in found:
        at = float(series["values"][0][0])
        first[_target(series)] = min(at, first.get(_target(series), at))
    return first


def _risen(series: Series, first_scrape: float) -> int:
    """By how much a counter rose. One that began later began at nothing; one that fell was started anew."""
    values = [(float(at), float(value)) for at, value in series["values"]]
    before = values[0][1] if values[0][0] <= first_scrape else 0.0
    risen = 0.0
    for _, value in values:
        risen += value - before if value >= before else value
        before = value
    return round(risen)


def _failed(metric: Mapping[str, str]) -> bool:
    code = metric.get("response_code", "")
    return code.startswith("5") or code == "0" or metric.get("grpc_response_status", "") in _SERVER_FAILED


def _buckets(durations: Matrix, first: Mapping[tuple[str, str], float]) -> tuple[tuple[float, int], ...]:
    by_bound: dict[float, int] = defaultdict(int)
    for series in durations:
        by_bound[float(series["metric"]["le"].replace("+Inf", "inf")) / 1000] += _risen(series, first[_target(series)])
    return tuple(sorted(by_bound.items()))
