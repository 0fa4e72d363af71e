"""What does a person need to read beside a verdict? Numbers as people write them, lines of evidence, the likely cause.

`judging` calls `details` and `likely_cause` once a claim is judged; the claims themselves use the number formats and the
timeline. Nothing here decides anything.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from chaos.claims import ways
from chaos.claims.columns import answers
from chaos.claims.subjects import EdgeSubject, Subject, WindowSubject, calls_per_request, hit_sequences, injection_on, per_request
from chaos.model import units
from chaos.model.calls import Call
from chaos.model.edge import Edge, Party
from chaos.model.fault import GRPC_STATUS, Fault
from chaos.model.injection import InjectionRecord, Side
from chaos.model.window import EdgeEvidence, WindowEvidence, latency_at

_BARS: Final = "▁▂▃▄▅▆▇█"
_WIDTH: Final = 60
"""Characters of a timeline at most."""
_EDGES: Final = 6
"""Edges that are listed; the others are counted."""
_SHARP: Final = 0.1
"""Durations are called "after 3 s" when 10th and 90th percentile lie within so much of their median."""
_SURELY: Final = 0.25
"""A mean number of calls this near to a whole one is told as that."""
_CAUSES: Final = 0.5
"""Share of the requests against a claim in which a pattern has to show before it is called their cause."""
_GRPC_NAMES: Final = {number: name for name, number in GRPC_STATUS.items()}


# -- numbers


def percent(share: float) -> str:
    """`99.25 %`: two significant digits of whatever is smaller, the share or what is missing to all."""
    rest = min(share, 1 - share) * 100
    digits = max(1, 1 - math.floor(math.log10(rest))) if rest > 1e-9 else 0
    return f"{share * 100:.{digits}f}".rstrip("0").rstrip(".") + " %" if digits else f"{share * 100:.0f} %"


def confidence(alpha: float) -> str:
    """`95 %` for a level of 0.05, `99.958 %` for one of 0.000417: never rounded up."""
    digits = max(0, -1 - math.floor(math.log10(alpha)))
    text = f"{math.floor((1 - alpha) * 10 ** (digits + 2) + 1e-6) / 10**digits:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if digits else text) + " %"


def counted(number: int, thing: str) -> str:
    """`1 request`, `300 requests`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def times(number: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def per_second(rate: float) -> str:
    return f"{rate:.4g}/s"


# -- lines of evidence


def timeline(scheduled: Sequence[int], bad: bytes, window: WindowEvidence, what: str) -> str:
    """One bar per second (or more, for long windows) whose height is the bad share; `·` where nothing was scheduled."""
    step = max(1, math.ceil(window.seconds / _WIDTH)) * 1_000_000_000
    bars = []
    for start in range(window.start, max(window.end, window.start + 1), step):
        low, high = bisect.bisect_left(scheduled, start), bisect.bisect_left(scheduled, start + step)
        bars.append(_bar(bad[low:high].count(1) / (high - low)) if high > low else "·")
    unit = "second" if step == 1_000_000_000 else f"{step // 1_000_000_000} s"
    return f"{''.join(bars)}  share {what}, per {unit}"


def timeline_of(culprits: frozenset[int], subject: Subject, what: str) -> str:
    """The same of the user requests that speak against a claim on an edge."""
    requests = subject.requests
    return timeline(requests["scheduled"], bytes(map(culprits.__contains__, requests["sequence"])), subject.window, what)


def _bar(share: float) -> str:
    """The lowest bar is none at all, so that a single bad request can be seen."""
    return _BARS[math.ceil(share * (len(_BARS) - 1))]


def details(subject: Subject, culprits: frozenset[int], unnamed: Sequence[EdgeEvidence] = ()) -> tuple[str, ...]:
    """Answers, who was hit, and what every edge did, those in `unnamed` as well, in lines."""
    lines = [_answers(subject)] if isinstance(subject, WindowSubject) else []
    lines += _hit_and_spared(subject.window, culprits)
    return (*lines, *_edges(subject, unnamed))


def _answers(subject: WindowSubject) -> str:
    requests = subject.requests
    kinds = answers(requests)
    texts = requests.tables.texts
    named: Counter[str] = Counter()
    for (status, grpc, error), number in kinds.items():
        grpc_name = f" grpc {_GRPC_NAMES.get(grpc, grpc)}" if grpc > 0 else ""
        text = f" ({texts[error]})" if error else ""
        named[f"{f'status {status}' if status else 'no response'}{grpc_name}{text}"] += number
    return f"answers: {_histogram(named)}"


def _hit_and_spared(window: WindowEvidence, culprits: frozenset[int]) -> list[str]:
    """Only where a fault was meant for some of the requests."""
    if not any(_partial(record.request.fault) for record in window.injections):
        return []
    everyone = frozenset(window.samples["sequence"])
    hit = hit_sequences(window) & everyone
    spared = everyone - hit
    against = [f" ({len(part & culprits)} against the claim)" if culprits else "" for part in (hit, spared)]
    return [f"hit by the fault: {counted(len(hit), 'user request')}{against[0]}; spared: {len(spared)}{against[1]}"]


def _partial(fault: Fault) -> bool:
    return any(part is not None and part.percent < 100 for part in (fault.delay, fault.abort))


def _edges(subject: Subject, unnamed: Sequence[EdgeEvidence]) -> list[str]:
    ranked = _on_the_way(subject, unnamed) if isinstance(subject, EdgeSubject) else _ranked(subject, unnamed)
    lines = []
    for seen in ranked[:_EDGES]:
        policy = f"; policy {' | '.join(seen.policy)}" if seen.policy else ""
        ejected = f"; {counted(seen.ejections, 'ejection')}" if seen.ejections else ""
        calls = f": {_histogram(Counter(map(_label, seen.calls)))}" if seen.calls else ""
        tries = sum(call.tries for call in seen.calls)
        attempts = f" with {counted(tries, 'attempt')}" if tries != len(seen.calls) else ""
        lines.append(f"{seen.edge}  {counted(len(seen.calls), 'call')}{attempts}{calls}{ejected}{policy}")
    rest = ranked[_EDGES:]
    if rest:
        lines.append(f"and {counted(len(rest), 'more edge')}, {sum(map(_troubled, rest))} of them with failed calls")
    return lines


def _on_the_way(subject: EdgeSubject, unnamed: Sequence[EdgeEvidence]) -> list[EdgeEvidence]:
    """The edge itself, and those before and behind it: who waits for it, and for whom it waits."""
    observed = {**subject.window.edges, **{seen.edge: seen for seen in unnamed}}
    edge = subject.seen.edge
    return [subject.seen, *(observed[each] for each in (*ways.before(edge, observed), *ways.behind(edge, observed)))]


def _ranked(subject: Subject, unnamed: Sequence[EdgeEvidence] = ()) -> list[EdgeEvidence]:
    """Those with a fault first, then those in trouble."""
    return sorted((*subject.edges, *unnamed), key=lambda seen: (injection_on(seen, subject.window) is None, not _troubled(seen)))


def _label(call: Call) -> str:
    """What the caller's proxy says of a call: its flags, else its status."""
    return ",".join(sorted(call.flags)) or f"status {call.status}"


def _troubled(seen: EdgeEvidence) -> bool:
    return any(call.flags - {"DI"} or call.status >= 500 for call in seen.calls)


def _histogram(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.most_common())


# -- the likely cause


def likely_cause(subject: Subject, culprits: frozenset[int], unnamed: Sequence[EdgeEvidence] = ()) -> str:
    """One sentence, where the evidence supports one: what was injected and what each edge made of it. Else empty."""
    ranked = _ranked(subject, () if isinstance(subject, EdgeSubject) else unnamed)
    shown = [(seen, pattern) for seen in ranked if (pattern := _shown(seen, subject, culprits))]
    failing = {seen.edge.caller for seen, _ in shown}
    found = [f"{seen.edge}: {pattern.told(seen, subject, failing)}" for seen, pattern in shown]
    # Who was not asked because somebody before it gave up has its part in the story of that one.
    itself = {seen.edge.callee for seen, pattern in shown if pattern.of.told is _ended_otherwise}
    silent = [seen for seen in ranked if not found or seen.edge.caller in itself]
    found += [f"{seen.edge}: {text}" for seen in silent if (text := _silence(seen, subject, culprits))]
    if not found:
        return ""
    return "; ".join([*map(_injected, _injections(subject)), *found])


def _injections(subject: Subject) -> list[InjectionRecord]:
    on_edges = [record for seen in subject.edges if (record := injection_on(seen, subject.window))]
    return on_edges if not isinstance(subject, WindowSubject) else list(subject.window.injections)


def _injected(record: InjectionRecord) -> str:
    """`ratings delayed by 7 s`."""
    fault, callee = record.request.fault, record.request.edge.callee
    share = {part.percent for part in (fault.delay, fault.abort) if part is not None and part.percent < 100}
    of = f" for {'/'.join(f'{p:g}' for p in sorted(share))} % of its calls" if share else ""
    done = []
    if fault.delay:
        done.append(f"delayed by {units.seconds(fault.delay.duration.total_seconds())}")
    if fault.abort:
        done.append(f"aborted with {fault.abort.status or fault.abort.grpc_name}")
    if fault.throttle:
        done.append(f"throttled to {fault.throttle.kib_per_second} KiB/s")
    return f"{callee} {' and '.join(done)}{of}"


def shared_with_the_fault(subject: Subject) -> str:
    """Of load that no fault can hit and that suffers all the same."""
    if subject.window.kind != "bystander" or not subject.window.aside:
        return ""
    told = "; ".join(map(_injected, subject.window.aside))
    return f"{told}, which these requests never meet: they share something with those that do (a pool, a queue, a cache)"


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One way in which calls go wrong."""

    shown: Callable[[Call], bool]
    told: Callable[[Sequence[Call], EdgeEvidence, InjectionRecord | None], str]


@dataclass(frozen=True, slots=True)
class _Shown:
    """A pattern, and the calls that show it."""

    of: _Pattern
    calls: Sequence[Call]

    def told(self, seen: EdgeEvidence, subject: Subject, failing: Collection[Party | None]) -> str:
        """`failing`: those on whose own calls something shows as well."""
        if self.of.told is _ended_otherwise and seen.edge.callee in failing:
            return f"{seen.edge.callee} passes it on, {counted(len(self.calls), 'call')} with {_usual_answer(self.calls)}"
        return self.of.told(self.calls, seen, injection_on(seen, subject.window)) + _tries(self.calls, seen, subject)


def _shown(seen: EdgeEvidence, subject: Subject, culprits: frozenset[int]) -> _Shown | None:
    """The pattern that most of the suspicious calls show; the more telling one of equals."""
    suspects = [call for call in seen.calls if not culprits or call.sequence in culprits]
    best: _Shown | None = None
    for candidate in _PATTERNS:
        showing = [call for call in suspects if candidate.shown(call)]
        if len(showing) > (len(best.calls) if best else 0):
            best = _Shown(candidate, showing)
    if best is None or len({call.sequence for call in best.calls}) < _CAUSES * len(culprits):
        return None
    return best


def _silence(seen: EdgeEvidence, subject: Subject, culprits: frozenset[int]) -> str:
    """Requests that go wrong without a call where there were calls in steady: something before it gives up by itself."""
    steady = subject.window.steady
    usual = calls_per_request(steady.edges.get(seen.edge), steady) if steady else math.nan
    silent = len(culprits - {call.sequence for call in seen.calls})
    if not usual >= 1 or not culprits or silent < _CAUSES * len(culprits):
        return ""
    return f"{counted(silent, 'user request')} got no further than its caller, which does not call any more"


def _tries(calls: Sequence[Call], seen: EdgeEvidence, subject: Subject) -> str:
    """`, twice`: the application asks again where it asked once in steady, for each time that it was asked itself."""
    per_request = len(calls) / len({call.sequence for call in calls})
    window, steady = subject.window, subject.window.steady
    usual = calls_per_request(steady.edges.get(seen.edge), steady) if steady else math.nan
    again = per_request / usual if usual >= 1 else per_request
    if steady and (asked := arriving(seen.edge, window)) > (asked_before := arriving(seen.edge, steady)) > 0:
        again *= asked_before / asked
    return f", {times(round(again))}" if again > 1 and abs(again - round(again)) < _SURELY else ""


def arriving(edge: Edge, window: WindowEvidence) -> float:
    """Attempts that reached its caller, per user request; NaN where no hop before it was observed."""
    direct = ways.directly_before(edge, window.edges)
    tries = sum(call.tries for each in direct for call in window.edges[each].calls)
    return per_request(tries, window) if direct else math.nan


def _after(calls: Sequence[Call]) -> str:
    """`after 3 s`, or the range in which most of them lie."""
    durations = [call.duration for call in calls]
    low, middle, high = (latency_at(durations, q) for q in (0.1, 0.5, 0.9))
    if high - low <= 2 * _SHARP * middle:
        return f"after {units.seconds(middle)}"
    return f"after {units.seconds(low)} to {units.seconds(high)}"


def _mesh_timeout(calls: Sequence[Call], seen: EdgeEvidence, _: InjectionRecord | None) -> str:
    retried = " and its retries were used up" if any("URX" in call.flags for call in calls) else ""
    return f"the mesh's timeout ends the call {_after(calls)} (flag UT){retried}"


def _given_up(calls: Sequence[Call], seen: EdgeEvidence, _: InjectionRecord | None) -> str:
    return f"the caller gives up {_after(calls)} (application, flag DC)"


def _broken(calls: Sequence[Call], seen: EdgeEvidence, _: InjectionRecord | None) -> str:
    return f"the circuit breaker turned {counted(len(calls), 'call')} away (flag UO)"


def _unhealthy(calls: Sequence[Call], seen: EdgeEvidence, _: InjectionRecord | None) -> str:
    ejected = f" ({counted(seen.ejections, 'ejection')})" if seen.ejections else ""
    return f"no healthy host was left for {counted(len(calls), 'call')} (flag UH){ejected}"


def _unmasked(calls: Sequence[Call], seen: EdgeEvidence, record: InjectionRecord | None) -> str:
    answer = _usual_answer(calls)
    if record is not None and record.side is Side.CALLER:
        return f"{answer} reaches the caller's application (a caller-side fault acts before the router: no mesh retry masks it)"
    retries = sum(call.retries for call in calls)
    if not retries:
        why = "the declared ones do not act on it" if seen.declared_retries else "no retry policy acts on it"
        return f"{answer} reaches the caller (0 mesh retries: {why})"
    return f"{answer} reaches the caller in spite of mesh retries ({retries} on {counted(len(calls), 'call')})"


def _usual_answer(calls: Sequence[Call]) -> str:
    call, _ = Counter((call.status, call.grpc) for call in calls).most_common(1)[0]
    status, grpc = call
    return f"grpc {_GRPC_NAMES.get(grpc, grpc)}" if grpc else f"{status or 'no response'}"


def _unconnected(calls: Sequence[Call], seen: EdgeEvidence, _: InjectionRecord | None) -> str:
    flags = ", ".join(sorted({flag for call in calls for flag in call.flags & {"UF", "UC", "UR"}}))
    return f"{counted(len(calls), 'call')} lost the connection to the callee (flag {flags})"


def _waited(calls: Sequence[Call], seen: EdgeEvidence, _: InjectionRecord | None) -> str:
    longest = latency_at([call.duration for call in calls], 0.5)
    return f"the caller waits {units.seconds(longest)} for the answer, nothing gives up"


def _ended_otherwise(calls: Sequence[Call], seen: EdgeEvidence, _: InjectionRecord | None) -> str:
    return f"{seen.edge.callee} itself answers {counted(len(calls), 'call')} with {_usual_answer(calls)}"


def _failed(call: Call) -> bool:
    return call.status >= 500 or bool(call.grpc)


def _meant_to_be_masked(call: Call) -> bool:
    """A fault of ours, or a failure that a retry policy has acted on to the end."""
    return "FI" in call.flags or "URX" in call.flags or any("FI" in attempt.flags for attempt in call.attempts)


def _delayed(call: Call) -> bool:
    return "DI" in call.flags or any("DI" in attempt.flags for attempt in call.attempts)


_PATTERNS: Final = (
    _Pattern(lambda call: "UT" in call.flags, _mesh_timeout),
    _Pattern(lambda call: "DC" in call.flags and not call.cancelled, _given_up),
    _Pattern(lambda call: "UO" in call.flags, _broken),
    _Pattern(lambda call: "UH" in call.flags, _unhealthy),
    _Pattern(lambda call: _meant_to_be_masked(call) and _failed(call) and "UT" not in call.flags, _unmasked),
    _Pattern(lambda call: bool({"UF", "UC", "UR"} & call.flags), _unconnected),
    _Pattern(lambda call: _delayed(call) and not _failed(call) and not {"UT", "DC"} & call.flags, _waited),
    _Pattern(lambda call: not call.faulted and not call.flags and _failed(call), _ended_otherwise),
)
"""The more telling ones first."""
