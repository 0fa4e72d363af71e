"""What does `istioctl analyze` find in EnvoyFilters?

Source: istio pkg/config/analysis/analyzers/envoyfilter. IST0153 and IST0154 say that an operation is ignored though today's
istiod carries it out for HTTP_ROUTE; they are Istio's false alarms.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaos.istio.analyze.cluster import Cluster, Object
from chaos.istio.findings import Finding, Level
from chaos.istio.validate.decoding import Message

_NOT_PATCHABLE = ("ROUTE_CONFIGURATION", "HTTP_ROUTE")
_REPLACEABLE = ("NETWORK_FILTER", "HTTP_FILTER")
_INSERTS = ("INSERT_BEFORE", "INSERT_AFTER")
_Name = tuple[str, str]
_ADVICE = "Using the INSERT_FIRST of ADD option or setting the priority may help in ensuring the EnvoyFilter is applied correctly."


def operations(cluster: Cluster) -> Iterator[Finding]:
    """IST0151 to IST0155, patch by patch; the names of patches bound to a proxy version count over all filters."""
    versioned: set[_Name] = set()
    for envoy_filter in cluster.of("EnvoyFilter"):
        for patch in envoy_filter.spec["config_patches"]:
            if not patch["patch"]:
                break
            name = _patched_name(patch)
            yield from _operation(envoy_filter, patch, name in versioned)
            if patch["match"]["proxy"]["proxy_version"]:
                versioned.add(name)


def _patched_name(patch: Message) -> _Name:
    """What istioctl takes for the name of the filter; it confuses its own name with one it matches, so both are kept apart."""
    change = patch["patch"]
    if not change["value"]:
        return ("", "")
    if "name" in change["value"]:
        return ("own", str(change["value"]["name"]))
    return ("matched", patch["match"]["listener"]["filter_chain"]["filter"]["name"])


def _operation(envoy_filter: Object, patch: Message, versioned: bool) -> Iterator[Finding]:
    operation, apply_to = patch["patch"]["operation"], patch["apply_to"]
    at = patch.path
    if operation in ("ADD", "REMOVE") and apply_to in _NOT_PATCHABLE:
        code = {"ADD": "IST0153", "REMOVE": "IST0154"}[operation]
        why = f"The {operation} operation will be ignored when applyTo is set to ROUTE_CONFIGURATION, or HTTP_ROUTE."
        yield envoy_filter.finding(code, Level.ERROR, why, *at)
    elif operation == "REPLACE" and apply_to not in _REPLACEABLE:
        why = "The REPLACE operation is only valid for HTTP_FILTER and NETWORK_FILTER."
        yield envoy_filter.finding("IST0152", Level.ERROR, why, *at)
    elif operation in ("REMOVE", "REPLACE", *_INSERTS) and envoy_filter.spec["priority"] == 0:
        yield envoy_filter.finding(*_relative(versioned), *at)


def _relative(versioned: bool) -> tuple[str, Level, str]:
    subject = "This EnvoyFilter does not have a priority and has a relative patch operation"
    if versioned:
        which = "(NSTERT_BEFORE/AFTER, REPLACE, MERGE, DELETE) and proxyVersion set"
        why = f"{subject} {which} which can cause the EnvoyFilter not to be applied during an upgrade. {_ADVICE}"
        return "IST0155", Level.WARNING, why
    return "IST0151", Level.WARNING, f"{subject} set which can cause the EnvoyFilter not to be applied. {_ADVICE}"


ANALYZERS = (operations,)
