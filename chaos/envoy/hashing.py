"""Which host gets a request under consistent hashing? From a DestinationRule's `consistentHash` to a route's hash_policy.

The ring itself is the cluster's business (`loadbalancing`); what is hashed is the route's. Facts: istio RT
`hashForHTTPDestination`, `hashForService`, `consistentHashToHashPolicy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos.istio.destinationrules import DestinationRule, port_settings
from chaos.istio.durations import to_proto

Block = Mapping[str, Any]


def hash_of_destination(rule: DestinationRule | None, destination: Block) -> Block | None:
    """Subset and port, else subset, else port, else the whole host. Port-level ones need the destination to name its port."""
    if rule is None:
        return None
    number = int((destination.get("port") or {}).get("number") or 0)
    subset = (rule.subset(str(destination.get("subset") or "")) or {}).get("trafficPolicy")
    candidates = (_of_port(subset, number), _consistent_hash(subset), _of_port(rule.traffic_policy, number))
    return next((found for found in candidates if found is not None), _consistent_hash(rule.traffic_policy))


def hash_of_service(rule: DestinationRule | None, port: int) -> Block | None:
    """For the default route of a port."""
    if rule is None:
        return None
    of_port = _of_port(rule.traffic_policy, port)
    return of_port if of_port is not None else _consistent_hash(rule.traffic_policy)


def hash_policy(written: Block | None) -> dict[str, Any] | None:
    """envoy.config.route.v3.RouteAction.HashPolicy; None where the hash key is not said.

    Of several keys, which an API server would refuse, the last one in the API's order counts, as of every `oneof`.
    """
    if written is None:
        return None
    if written.get("httpQueryParameterName") is not None:
        return {"query_parameter": {"name": written["httpQueryParameterName"]}}
    if written.get("useSourceIp") is not None:
        return {"connection_properties": {"source_ip": True} if written["useSourceIp"] else {}}
    if written.get("httpCookie") is not None:
        return {"cookie": _cookie(written["httpCookie"])}
    if written.get("httpHeaderName") is not None:
        return {"header": {"header_name": written["httpHeaderName"]}}
    return None


def _cookie(written: Block) -> dict[str, Any]:
    cookie: dict[str, Any] = {key: str(written[key]) for key in ("name", "path") if written.get(key)}
    if written.get("ttl") is not None:
        cookie["ttl"] = to_proto(written["ttl"])
    if written.get("attributes"):
        cookie["attributes"] = [{key: str(a[key]) for key in ("name", "value") if a.get(key)} for a in written["attributes"]]
    return cookie


def _consistent_hash(policy: Block | None) -> Block | None:
    found: Block | None = ((policy or {}).get("loadBalancer") or {}).get("consistentHash")
    return found


def _of_port(policy: Block | None, port: int) -> Block | None:
    return _consistent_hash(port_settings(policy, port)) if port else None
