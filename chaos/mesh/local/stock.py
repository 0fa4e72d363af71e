"""What does an Envoy take that Istio did not build? istiod's listeners and filters without what only Istio's own Envoy has.

Pieces that sidecars (`localise`) and gateways (`gateways`) share: listeners on our addresses, managers with our access log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chaos.envoy.configuration import Resource
from chaos.mesh.local.access_log import Side, access_log
from chaos.mesh.local.addresses import Endpoint

CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
TCP_PROXY = "envoy.filters.network.tcp_proxy"
TYPE = "type.googleapis.com/"
_HTTP_INSPECTOR = "envoy.filters.listener.http_inspector"


def local_listener(name: str, endpoint: Endpoint, direction: str, chains: Sequence[Resource]) -> Resource:
    """A chain without conditions is for what no other takes; with several, the first bytes tell HTTP from the rest."""
    made: Resource = {
        "name": name,
        "address": endpoint.proto,
        "traffic_direction": direction,
        # Else two Envoys share one address without an error, and each gets some of the connections (measured).
        "enable_reuse_port": False,
        "filter_chains": [chain for chain in chains if "filter_chain_match" in chain or len(chains) == 1],
    }
    others = [chain for chain in chains if "filter_chain_match" not in chain]
    if len(chains) > 1:
        typed = {"@type": f"{TYPE}envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"}
        made["listener_filters"] = [{"name": _HTTP_INSPECTOR, "typed_config": typed}]
        made |= {"continue_on_listener_filters_timeout": True, "listener_filters_timeout": "0s"}
        made |= {"default_filter_chain": others[0]} if others else {}
    return made


def adapted(manager: Resource, side: Side) -> Resource:
    """A connection manager that a stock Envoy takes, with our access log for the mesh's, and without a trace collector."""
    return {
        **{k: v for k, v in manager.items() if k != "tracing"},
        "http_filters": [f for f in manager.get("http_filters", ()) if is_stock(f)],
        "access_log": [access_log(side)],
    }


def logged(network_filter: Resource, side: Side) -> Resource:
    """A TCP proxy with our access log; any other filter as it is."""
    if network_filter["name"] != TCP_PROXY:
        return network_filter
    return {**network_filter, "typed_config": {**network_filter["typed_config"], "access_log": [access_log(side)]}}


def manager_filter(manager: Resource) -> Resource:
    return {"name": CONNECTION_MANAGER, "typed_config": manager}


def is_stock(named: Mapping[str, Any]) -> bool:
    """Is it in an Envoy that Istio did not build?"""
    return not str(named.get("name", "")).startswith(("istio.", "istio_"))


def chains_of(listener: Mapping[str, Any]) -> list[Resource]:
    return [*listener.get("filter_chains", ()), *([listener["default_filter_chain"]] if "default_filter_chain" in listener else [])]


def configs(chain: Resource, name: str) -> Iterator[Resource]:
    """The configurations of a chain's filters of that name."""
    return (f["typed_config"] for f in chain.get("filters", ()) if f.get("name") == name)
