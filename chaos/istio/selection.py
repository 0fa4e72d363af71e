"""Which of a proxy's labels matter? Those that some rule of the world selects clients by.

Proxies that see the same services and agree in these labels get the same routes and clusters, so work done for one serves
all of them.
"""

from __future__ import annotations

from chaos.istio import virtualservices
from chaos.istio.world import Proxy, World


def selecting_labels(world: World, proxy: Proxy) -> tuple[str | None, ...]:
    """The proxy's values of every label that a `sourceLabels` or a DestinationRule's `workloadSelector` asks for."""
    keys = world.remember("selecting labels", lambda: _keys(world))
    return tuple(proxy.labels.get(key) for key in keys)


def _keys(world: World) -> tuple[str, ...]:
    keys: set[str] = set()
    for virtual_service in virtualservices.all_of(world):
        for rule in (*virtual_service.http, *virtual_service.tcp, *virtual_service.tls):
            for match in rule.get("match") or ():
                keys.update((match or {}).get("sourceLabels") or ())
    for document in world.destination_rules:
        keys.update((document.spec.get("workloadSelector") or {}).get("matchLabels") or ())
    return tuple(sorted(keys))
