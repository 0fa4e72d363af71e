"""Which calls wait for which? The edges before and behind one on the way of a user request, of those that were observed.

A service that is called is taken to make its own calls for the request that it serves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from chaos.model.edge import Edge, Party


def directly_before(edge: Edge, observed: Iterable[Edge]) -> list[Edge]:
    """Those that lead to its caller."""
    return [each for each in observed if edge.caller and _same(each.callee, edge.caller)]


def before(edge: Edge, observed: Collection[Edge]) -> list[Edge]:
    """Those whose calls wait for calls on `edge`, the nearest first."""
    return _followed(edge, lambda hop: directly_before(hop, observed))


def behind(edge: Edge, observed: Collection[Edge]) -> list[Edge]:
    """Those for whose calls the calls on `edge` wait, the nearest first."""
    return _followed(edge, lambda hop: [each for each in observed if each.caller and _same(each.caller, hop.callee)])


def _followed(edge: Edge, following: Callable[[Edge], list[Edge]]) -> list[Edge]:
    found = [edge]
    hops = [edge]
    while hops:
        hops = list(dict.fromkeys(each for hop in hops for each in following(hop) if each not in found))
        found += hops
    return found[1:]


def _same(one: Party, other: Party) -> bool:
    """Whatever its version: a service is called as a whole."""
    return (one.name, one.namespace) == (other.name, other.namespace)
