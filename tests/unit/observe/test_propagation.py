from __future__ import annotations

import json

from chaos.observe.propagation import hops

RUN = "0123456789ab"
TRACE = RUN + "0" * 20
OTHER = "f" * 32


def line(side: str, start: float, ms: int = 0, **more: str) -> bytes:
    made = {"istio_chaos": "sidecar", "side": side, "start": f"{start:.6f}", "duration_ms": ms, **more}
    return json.dumps(made, separators=(",", ":")).encode() + b"\n"


SERVED = line("inbound", 10.0, 100, traceparent=f"00-{TRACE}-0123456789abcdef-01")


def test_the_forms_that_survive_are_those_on_the_calls_that_are_made() -> None:
    hop = hops({"web": SERVED + line("outbound", 10.05, b3=TRACE, cluster="outbound|80||store")}, RUN)["web"]

    assert (hop.served, hop.forms, hop.lost) == (1, {"b3"}, set())


def test_a_call_without_mark_made_meanwhile_has_lost_it() -> None:
    during = line("outbound", 10.05, traceparent=f"00-{OTHER}-0123456789abcdef-01", cluster="outbound|80||store")
    before, after = line("outbound", 9.9, cluster="outbound|80||a"), line("outbound", 10.2, cluster="outbound|80||b")

    assert hops({"web": SERVED + before + during + after}, RUN)["web"].lost == {"outbound|80||store"}


def test_who_served_nothing_of_ours_is_no_hop() -> None:
    assert hops({"web": line("inbound", 1.0, traceparent=f"00-{OTHER}-0123456789abcdef-01") + line("outbound", 1.0)}, RUN) == {}
