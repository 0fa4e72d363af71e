from __future__ import annotations

from typing import Any

import pytest

from chaos.istio.validate import refusals, warnings
from chaos.istio.validate.envoymessages import envoy
from tests.manifests import changed, istio, place

FAULT = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
MANAGER = "envoy.filters.network.http_connection_manager"
GOOD: dict[str, Any] = {
    "configPatches": [
        {
            "applyTo": "HTTP_FILTER",
            "match": {"context": "SIDECAR_OUTBOUND", "listener": {"filterChain": {"filter": {"name": MANAGER}}}},
            "patch": {
                "operation": "INSERT_FIRST",
                "value": {
                    "name": "envoy.filters.http.fault",
                    "typed_config": {"@type": FAULT, "abort": {"http_status": 503, "percentage": {"numerator": 50}}},
                },
            },
        }
    ]
}
PATCH = "configPatches.0."
VALUE = PATCH + "patch.value"
FILTER = PATCH + "match.listener.filterChain.filter"
BASE = "spec.configPatches[0]"


def test_a_good_one_draws_one_warning() -> None:
    document = istio("EnvoyFilter", GOOD)
    assert refusals(document) == []
    assert [finding.message.split(".")[0] for finding in warnings(document)] == [
        "EnvoyFilter exposes internal implementation details that may change at any time"
    ]


@pytest.mark.parametrize(
    ("path", "value", "at", "why"),
    [
        (PATCH + "applyTo", ..., BASE, "missing applyTo"),
        (PATCH + "applyTo", "HTTP_FILTERS", "", "unknown value"),
        (PATCH + "patch", ..., BASE, "missing patch"),
        (PATCH + "patch.operation", ..., BASE + ".patch", "missing patch operation"),
        (VALUE, ..., BASE + ".patch", "missing patch value"),
        (PATCH + "patch", {"operation": "REMOVE"}, "", ""),
        (PATCH + "match.proxy", {"proxyVersion": "("}, ".proxyVersion", "invalid regex for proxy version"),
        (PATCH + "match", {"cluster": {}}, ".cluster", "cannot have non listener match"),
        (FILTER + ".name", ..., BASE + ".match.listener.filterChain.filter", "no name to match on"),
        (FILTER, {"name": "envoy.tcp", "subFilter": {"name": "a"}}, ".subFilter", "requires filter match with"),
        (FILTER + ".subFilter", {}, "", "has no name"),
        (VALUE + ".typed_config.@type", "x/envoy.extensions.filters.http.fault.v3.HttpFault", "", "referenced type unknown: "),
        (VALUE + ".typed_config.@type", "x/envoy.config.filter.http.fault.v2.HTTPFault", "", "hint: try using the v3 XDS API"),
        (VALUE + ".typed_config.abort.http_status", "x", "", "cannot unmarshal string"),
        (VALUE + ".typed_config.delay", {"fixed_delay": 5}, ".fixed_delay", "cannot unmarshal number"),
        (VALUE + ".typed_config.@type", "x/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", "", ""),
        (VALUE + ".typed_config.@type", "x/envoy.extensions.filters.http.golang.v3alpha.Config", "", ""),
        (VALUE + ".typedConfig", {"@type": FAULT, "maxActiveFaults": "5"}, "", ""),
        ("targetRefs", [{"kind": "Gateway", "group": "gateway.networking.k8s.io", "name": ""}], "[0]", "name must be set"),
        ("workloadSelector", {"labels": {"a": "*"}}, ".labels", "wildcard"),
    ],
)  # fmt: skip
def test_one_change(path: str, value: Any, at: str, why: str) -> None:
    found = refusals(istio("EnvoyFilter", changed(GOOD, path, value)))
    if not why:
        assert found == []
    else:
        assert [finding.path for finding in found] == [place(path, at)]
        assert why in found[0].message


@pytest.mark.parametrize(
    ("apply_to", "match", "fine"),
    [
        ("CLUSTER", {"cluster": {}}, True),
        ("CLUSTER", {"listener": {}}, False),
        ("HTTP_ROUTE", {"routeConfiguration": {}}, True),
        ("VIRTUAL_HOST", {"cluster": {}}, False),
        ("LISTENER", {"routeConfiguration": {}}, False),
        ("BOOTSTRAP", {}, True),
        ("EXTENSION_CONFIG", {}, True),
    ],
)
def test_the_match_is_of_the_class_of_apply_to(apply_to: str, match: Any, fine: bool) -> None:
    patch = {"applyTo": apply_to, "match": match, "patch": {"operation": "REMOVE"}}
    assert (refusals(istio("EnvoyFilter", {"configPatches": [patch]})) == []) is fine


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (VALUE + ".typed_config.abort.http_code", 503, 'unknown field "http_code"'),
        (VALUE + ".typed_config", ..., "using deprecated types by name without typed_config; envoy.filters.http.fault"),
        (FILTER + ".name", "envoy.http_connection_manager", f'use "{MANAGER}" instead'),
        (FILTER + ".subFilter", {"name": "envoy.router"}, 'use "envoy.filters.http.router" instead'),
        ("workloadSelector", {}, "will be applied to all services in namespace"),
    ],
)
def test_more_warnings(path: str, value: Any, why: str) -> None:
    found = [finding.message for finding in warnings(istio("EnvoyFilter", changed(GOOD, path, value)))]
    assert len(found) == 2
    assert any(why in message for message in found)


def test_a_filter_match_means_nothing_to_a_listener() -> None:
    spec = changed(changed(GOOD, PATCH + "applyTo", "LISTENER"), VALUE, {"name": "x"})
    assert any("filter match has no effect" in finding.message for finding in warnings(istio("EnvoyFilter", spec)))


def test_a_refused_selector_is_all_there_is() -> None:
    spec = {"workloadSelector": {"labels": {"a": "*"}}, "configPatches": [{}]}
    document = istio("EnvoyFilter", spec)
    assert len(refusals(document)) == 1
    assert warnings(document) == []


def test_every_type_a_message_of_envoys_refers_to_is_there() -> None:
    types = envoy()
    scalars = {"string", "bytes", "bool", "double", "float", "int32", "uint32", "int64", "uint64"}
    special = {"duration", "timestamp", "fieldmask", "struct", "empty", "value", "listvalue", "any"}
    for kind in types.fields("envoy.config.route.v3.RouteAction").values():
        bare = kind.removeprefix("[]").removesuffix("?")
        assert bare in scalars | special or bare in types or bare in types.enums
