from pathlib import Path

import pytest

from chaos.errors import NotAllowed
from chaos.injection.callers import Callers, Ends
from chaos.model.edge import Edge
from chaos.model.fault import abort, delay, throttle
from chaos.model.injection import InjectionRequest
from chaos.model.inventory import Pod, Service
from chaos.model.topology import Allow, Entry, Topology
from chaos.run.guard import check_injection, check_rate

EDGE = Edge.of("a -> b")


def topology(**allow: object) -> Topology:
    given = {"namespaces": ("shop",), **allow}
    return Topology(file=Path("chaos.yaml"), entry=Entry(service="a", namespace="shop", port=80), allow=Allow(**given))


def ends(caller: str = "shop", callee: str = "shop") -> Ends:
    pods = (Pod(name="a", namespace=caller, workload="a", labels={}, ip=""),)
    callers = Callers(workload="a", namespace=caller, labels=(), pods=pods)
    return Ends(edge=EDGE, callers=(callers,), callee=Service(name="b", namespace=callee, host="b", ports=(), selector={}))


@pytest.mark.parametrize(
    ("request_", "found", "allow", "says"),
    [
        ({}, ends(callee="pay"), {}, "namespace pay is not allowed; add it in chaos.yaml: allow: {namespaces: [shop, pay]}"),
        ({}, ends(caller="web"), {}, "namespace web is not allowed"),
        ({"fault": abort(503, percent=60)}, ends(), {"max_percent": 50.0}, "at most 50% is allowed"),
        ({"fault": delay("1s", percent=60)}, ends(), {"max_percent": 50.0}, "raise it in chaos.yaml: allow: {max_percent: 60}"),
        ({"fault": throttle("1KiB/s")}, ends(), {"max_percent": 50.0}, "at most 50% is allowed"),
        ({"expires": 700.0}, ends(), {}, "expires after 700 s, allowed are 600 s"),
        (
            {"traffic": "all"},
            ends(),
            {},
            "hits everybody who shares the path; allow it in chaos.yaml: allow: {traffic: [own, all]}",
        ),
    ],
)
def test_what_is_not_listed_is_refused_with_the_line_to_add(request_: dict, found: Ends, allow: dict, says: str) -> None:
    asked = InjectionRequest(**{"fault": abort(503), "edge": EDGE, **request_})

    with pytest.raises(NotAllowed) as refused:
        check_injection(asked, found, topology(**allow))

    assert says in str(refused.value)


def test_what_is_listed_is_let_through() -> None:
    allow = topology(namespaces=("shop", "pay-*"), traffic=("own", "all"), max_percent=50.0)
    asked = InjectionRequest(fault=abort(503, percent=50), edge=EDGE, traffic="all", expires=600.0)

    check_injection(asked, ends(callee="pay-eu"), allow)


def test_rates_have_a_cap() -> None:
    check_rate(500, topology())
    with pytest.raises(NotAllowed, match="at most 500/s is allowed"):
        check_rate(501, topology())
