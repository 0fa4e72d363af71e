"""Which requests take the private path, and what befalls them there? The routes put in front of the callee's virtual host.

Own traffic is recognised by its trace id, in each of the forms it may have after a few hops; one route a form. Without fault
headers a route only observes; a live injection adds them, its end takes them away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chaos.errors import Refused
from chaos.injection import fault_filter
from chaos.injection.leading import EVERYTHING
from chaos.injection.logs import STREAM
from chaos.injection.names import HEADER, HEADER_CALL
from chaos.model.injection import InjectionRequest, Side
from chaos.model.marks import BAGGAGE_KEY, Mark

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """An injection that is on, as a switch sees it."""

    numbers: tuple[int, ...]
    """Of the injections it stands for: one, or several that were merged."""
    request: InjectionRequest
    side: Side


def routes(path: str, mark: Mark, live: Sequence[Live], matches: Sequence[Json] = (EVERYTHING,)) -> list[Json]:
    """The routes in the order Envoy tries them: hit requests first, then all own traffic without a fault.

    `matches` tell which requests of the virtual host are meant at all.

    Injections on one edge are merged when they hit the same requests in the same way (`+`), and may stand side by side when
    their `match` tells their requests apart. Raises Refused for anything else.
    """
    hit = [
        _route(path, match, conditions, group)
        for group in merged(live)
        for conditions in _traffic(mark, group.request)
        for match in matches
    ]
    return [*hit, *(_route(path, match, conditions, None) for conditions in _own(mark) for match in matches)]


def merged(live: Sequence[Live]) -> list[Live]:
    """Live injections of one path with equal reach combined into one fault each. Raises Refused where they contradict."""
    groups: list[Live] = []
    for new in live:
        same = next((i for i, g in enumerate(groups) if _reach(g) == _reach(new)), None)
        if same is not None:
            groups[same] = _together(groups[same], new)
            continue
        for other in groups:
            if not _disjoint(other.request.match, new.request.match):
                raise Refused(
                    f"{new.request.fault} on {new.request.edge} would hit requests that {other.request.fault} already hits, "
                    "on another side, other replicas or with another match; end that one first, "
                    "or give both a match on one header with different values"
                )
        groups.append(new)
    return groups


def _reach(live: Live) -> tuple[object, ...]:
    request = live.request
    return (live.side, request.traffic, tuple(sorted(request.match.items())), request.replicas)


def _together(one: Live, other: Live) -> Live:
    request = replace(one.request, fault=one.request.fault + other.request.fault)
    return replace(one, numbers=(*one.numbers, *other.numbers), request=request)


def _disjoint(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return any(one[name] != other[name] for name in one.keys() & other.keys())


def _traffic(mark: Mark, request: InjectionRequest) -> list[list[Json]]:
    extra = [{"name": name, "string_match": {"exact": value}} for name, value in sorted(request.match.items())]
    if request.traffic == "all":
        return [extra]
    return [[*form, *extra] for form in _own(mark)]


def _own(mark: Mark) -> list[list[Json]]:
    return [
        [{"name": "traceparent", "string_match": {"prefix": f"00-{mark.digits}"}}],
        [{"name": "baggage", "string_match": {"contains": f"{BAGGAGE_KEY}={mark.digits}"}}],
        [{"name": "x-b3-traceid", "string_match": {"prefix": mark.digits}}],
        [{"name": "b3", "string_match": {"prefix": mark.digits}}],
    ]


def _route(path: str, match: Json, conditions: Sequence[Json], live: Live | None) -> Json:
    headers = [*match.get("headers", ()), *conditions]
    route: Json = {
        "name": path,
        "match": {**match, "headers": headers} if headers else match,
        # Retries, timeouts and breakers are those of the copied routes behind this one.
        # None of its own, lest it take the virtual host's.
        "route": {"cluster": f"{path}.call", "timeout": "0s", "retry_policy": {"num_retries": 0}},
        "stat_prefix": path,
    }
    added = {HEADER_CALL: STREAM}
    if live is not None:
        added[HEADER] = fault_filter.instruction(live.side, live.request.replicas, live.numbers)
        added |= fault_filter.headers(live.request.fault)
    route["request_headers_to_add"] = [
        {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"} for key, value in added.items()
    ]
    return route
