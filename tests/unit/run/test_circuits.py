"""Looks at hosts go on whatever a proxy says, and stop with their experiment."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chaos import clock
from chaos.clock import Deadline
from chaos.errors import Unreachable
from chaos.mesh.port import Host, Pod
from chaos.model.breakers import Breaker
from chaos.run import circuits
from chaos.run.circuits import Circuits

PODS = [Pod(name=name, namespace="shop", workload=name, labels={}, ip="10.0.0.1") for name in ("a", "b", "gone")]


class Proxies:
    """Of a mesh, what is asked here."""

    def __init__(self) -> None:
        self.out: set[str] = set()
        self.silent: set[str] = set()
        self.asked: list[tuple[str, str]] = []

    def pods(self) -> Sequence[Pod]:
        return [pod for pod in PODS if pod.name != "gone"]

    def hosts(self, pod: Pod, cluster: str) -> Sequence[Host]:
        self.asked.append((pod.id, cluster))
        if pod.id in self.silent:
            raise Unreachable("no answer")
        return [Host(address=address, ejected=address in self.out) for address in ("h:1", "h:2")]


def breaker(**policy: int) -> Breaker:
    return Breaker(cluster="N.0", name="b", proxies=("a.shop", "b.shop", "gone.shop"), hosts=("h:1", "h:2"), **policy)


def test_a_look_is_at_every_proxy_that_is_there() -> None:
    proxies = Proxies()
    found = Circuits(proxies, lambda: [breaker(consecutive_5xx=5)])  # type: ignore[arg-type]

    found.look()
    proxies.out, proxies.silent = {"h:2"}, {"b.shop"}
    found.look()

    assert {where: [set(look.ejected) for look in looks] for where, looks in found.looks.items()} == {
        ("a.shop", "N.0"): [set(), {"h:2"}],
        ("b.shop", "N.0"): [set()],
    }


def test_it_looks_again_and_again_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuits, "EVERY", 0.001)
    proxies = Proxies()
    found = Circuits(proxies, lambda: [breaker(consecutive_gateway=1)])  # type: ignore[arg-type]

    found.start()
    found.start()
    assert clock.poll(lambda: len(proxies.asked) > 20, deadline=Deadline.after(10))
    found.stop()
    asked = len(proxies.asked)

    assert len(found.looks["a.shop", "N.0"]) > 3
    assert len(proxies.asked) == asked


@pytest.mark.parametrize("policy", [{}, {"max_ejection_percent": 100}])
def test_where_nobody_can_be_put_out_nobody_looks(policy: dict[str, int]) -> None:
    proxies = Proxies()
    found = Circuits(proxies, lambda: [breaker(**policy)])  # type: ignore[arg-type]

    found.start()
    found.stop()

    assert proxies.asked == []
