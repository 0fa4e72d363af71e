"""Which host of a cluster takes the next request? `loadBalancer` as lb_policy, slow start, and the ring or table of a hash.

What is hashed is said by the route (`hashing`). Facts: istio CTP `applyLoadBalancer`, `setWarmup`,
`ApplyRingHashLoadBalancer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos.istio.durations import to_proto

ORIGINAL_DST = "ORIGINAL_DST"
_RING_SIZE = 1024


def apply(cluster: dict[str, Any], written: Mapping[str, Any]) -> None:
    """LEAST_REQUEST unless said otherwise. A cluster that goes where the caller went has no choice.

    PASSTHROUGH makes any cluster such a one, and takes its endpoints away. A `consistentHash` beside a `simple` wins.
    """
    if cluster["type"] == ORIGINAL_DST:
        cluster["lb_policy"] = "CLUSTER_PROVIDED"
        return
    hashed = written.get("consistentHash")
    simple = written.get("simple") if hashed is None else None
    if simple == "PASSTHROUGH":
        cluster["lb_policy"], cluster["type"] = "CLUSTER_PROVIDED", ORIGINAL_DST
        cluster.pop("load_assignment", None)
    elif simple == "RANDOM":
        cluster["lb_policy"] = "RANDOM"
    elif simple == "ROUND_ROBIN":
        # Envoy's default value of the field: proto JSON leaves it out.
        _slow_start(cluster, "round_robin_lb_config", written)
    else:
        cluster["lb_policy"] = "LEAST_REQUEST"
        _slow_start(cluster, "least_request_lb_config", written)
    if hashed is not None:
        _hashed(cluster, hashed)


def _slow_start(cluster: dict[str, Any], config: str, written: Mapping[str, Any]) -> None:
    """`warmup`, or the older warmupDurationSecs, which leaves the curve to Envoy."""
    warmup = written.get("warmup")
    if warmup is not None:
        aggression, least = warmup.get("aggression"), warmup.get("minimumPercent")
        percent = 10 if least is None else float(least)
        slow_start = {
            "slow_start_window": to_proto(warmup["duration"]),
            "aggression": {"default_value": 1 if aggression is None else float(aggression), "runtime_key": "("},
            "min_weight_percent": {"value": percent} if percent else {},
        }
    elif written.get("warmupDurationSecs") is not None:
        slow_start = {"slow_start_window": to_proto(written["warmupDurationSecs"])}
    else:
        return
    cluster[config] = {"slow_start_config": slow_start}


def _hashed(cluster: dict[str, Any], written: Mapping[str, Any]) -> None:
    """MAGLEV if it is there, else RING_HASH; without a `ringHash` block Istio says Envoy's own least ring size of 1024."""
    maglev, ring = written.get("maglev"), written.get("ringHash")
    if maglev is not None:
        cluster["lb_policy"] = "MAGLEV"
        _sized(cluster, "maglev_lb_config", "table_size", int(maglev.get("tableSize") or 0))
        return
    cluster["lb_policy"] = "RING_HASH"
    size = int((written if ring is None else ring).get("minimumRingSize") or 0)
    _sized(cluster, "ring_hash_lb_config", "minimum_ring_size", size or (_RING_SIZE if ring is None else 0))


def _sized(cluster: dict[str, Any], config: str, field: str, size: int) -> None:
    """A size replaces a slow start, since the two are one `oneof`; without a size that stays."""
    if size:
        cluster.pop("least_request_lb_config", None)
        cluster[config] = {field: size}
