"""How is own traffic told from everybody else's? The trace ids of our requests, and the headers that carry them.

A trace id has 32 hexadecimal digits: run (12), experiment (4), load (4), sequence number of the request (12). It goes out
as W3C traceparent, as baggage and as the full B3 set, since nobody knows which of them an application forwards; routes of
ours match the first 16 digits in each form. Because the id ends in the sequence number, every log line of every hop leads
back to the request that caused it.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

RUN_DIGITS, EXPERIMENT_DIGITS, LOAD_DIGITS, SEQUENCE_DIGITS = 12, 4, 4, 12
BYSTANDER = 0xFFFF
"""The experiment number of bystander traffic: no route of ours matches it, and its log lines can still be attributed."""

BAGGAGE_KEY = "istio-chaos"
FORMS = ("traceparent", "baggage", "x-b3-traceid", "b3")
"""The headers that carry a mark, strongest first."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The first 16 digits of the trace ids of one experiment."""

    run: str
    experiment: int

    @classmethod
    def of_run(cls) -> str:
        """A new run's 12 digits; never all zero, which W3C forbids for whole ids."""
        return f"{secrets.randbits(RUN_DIGITS * 4) | 1:0{RUN_DIGITS}x}"

    @property
    def digits(self) -> str:
        return f"{self.run}{self.experiment:0{EXPERIMENT_DIGITS}x}"

    def flow(self, load: int) -> FlowMark:
        return FlowMark(prefix=f"{self.digits}{load:0{LOAD_DIGITS}x}")

    def covers(self, flow: FlowMark) -> bool:
        """Do the requests of this load carry it?"""
        return flow.prefix.startswith(self.digits)


@dataclass(frozen=True, slots=True)
class FlowMark:
    """The first 20 digits of the trace ids of one load."""

    prefix: str

    def trace_id(self, sequence: int) -> str:
        return f"{self.prefix}{sequence:0{SEQUENCE_DIGITS}x}"

    def headers(self, sequence: int) -> dict[str, str]:
        """Every form of the mark, for request number `sequence` of this load."""
        trace = self.trace_id(sequence)
        span = f"{sequence + 1:016x}"
        return {
            "traceparent": f"00-{trace}-{span}-01",
            "baggage": f"{BAGGAGE_KEY}={trace}",
            "x-b3-traceid": trace,
            "x-b3-spanid": span,
            "x-b3-sampled": "1",
        }


_TRACE = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")


def sequence_of(text: str, flow: FlowMark) -> int | None:
    """The sequence number in any header value that carries a trace id of this load, else None."""
    for found in _TRACE.finditer(text):
        if found[0].startswith(flow.prefix):
            return int(found[0][len(flow.prefix) :], 16)
    return None


def trace_in(text: str) -> str | None:
    """The first 32-digit trace id in a header value."""
    found = _TRACE.search(text)
    return found[0] if found else None
