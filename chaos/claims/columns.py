"""What follows from the requests of a window alone? Bad ones, times, answers: made once, however many claims ask.

A million requests are sorted once and not by each claim on them. What was made is kept as long as the samples are.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

from chaos.model.samples import Samples
from chaos.model.window import is_bad, latencies
from chaos.stats.quantiles import Latencies

P = ParamSpec("P")
T = TypeVar("T")
Answer = tuple[int, int, int]
"""status, grpc, error"""
_ANSWER: Final = ("status", "grpc", "error")
"""The columns that say whether a request is bad."""
_kept: Final[WeakKeyDictionary[Samples, dict[Any, Any]]] = WeakKeyDictionary()


def _once(make: Callable[Concatenate[Samples, P], T]) -> Callable[Concatenate[Samples, P], T]:
    """The same for the same samples and arguments. Nobody may change what is returned."""

    @wraps(make)
    def kept(samples: Samples, /, *args: P.args, **kwargs: P.kwargs) -> T:
        of_samples = _kept.setdefault(samples, {})
        key = (make, args, tuple(kwargs.items()))
        if key not in of_samples:
            of_samples[key] = make(samples, *args, **kwargs)
        return cast(T, of_samples[key])

    return kept


@_once
def _without_unsent(samples: Samples) -> Samples:
    return samples.where([1 if at else 0 for at in samples["sent"]])


def sent(samples: Samples) -> Samples:
    """Those that were sent."""
    return _without_unsent(samples) if samples["sent"].count(0) else samples


@_once
def answers(samples: Samples) -> Counter[Answer]:
    """How often each answer came, of which there are few."""
    columns = [samples[name] for name in _ANSWER]
    if len(samples) and all(column.count(column[0]) == len(column) for column in columns):  # as of a system that works
        status, grpc, error = (column[0] for column in columns)
        return Counter({(status, grpc, error): len(samples)})
    return Counter(zip(*columns, strict=True))


def failures(samples: Samples, ok: Collection[int] = ()) -> bytes:
    """1 for every bad request, in scheduled order."""
    return _failures(samples, frozenset(ok))


@_once
def _failures(samples: Samples, ok: frozenset[int]) -> bytes:
    bad = {answer: _is_bad(answer, ok) for answer in answers(samples)}
    if len(set(bad.values())) == 1:
        return bytes([next(iter(bad.values()))]) * len(samples)
    return bytes(map(bad.__getitem__, zip(*(samples[name] for name in _ANSWER), strict=True)))


def _is_bad(answer: Answer, ok: frozenset[int]) -> bool:
    return is_bad(Samples({name: array("q", [value]) for name, value in zip(_ANSWER, answer, strict=True)}), 0, ok)


@_once
def times(samples: Samples, *, from_schedule: bool = True) -> Sequence[float]:
    """Seconds from the scheduled start, or from the actual one; infinite where there was no response."""
    if not from_schedule:
        samples = Samples({**samples.columns, "scheduled": samples["sent"]}, samples.tables)
    return latencies(samples)


@_once
def ordered_times(samples: Samples, *, from_schedule: bool = True) -> Latencies:
    """The same in order: what takes longest for many requests."""
    return Latencies.of(times(samples, from_schedule=from_schedule))
