from __future__ import annotations

from typing import Any

import pytest

from chaos.istio.validate import refusals, warnings
from tests.manifests import istio


@pytest.mark.parametrize(
    ("kind", "spec", "why"),
    [
        ("Telemetry", {}, ""),
        ("Telemetry", {"metrics": [{"providers": [{}]}]}, "providers.name may not be empty"),
        ("Telemetry", {"tracing": [{"randomSamplingPercentage": 101}]}, "randomSamplingPercentage must be in range"),
        ("Telemetry", {"tracing": [{"randomSamplingPercentage": "10"}]}, ""),
        ("Telemetry", {"tracing": [{"customTags": {"a": {"literal": {}}}}]}, "literal tag value may not be empty"),
        ("Telemetry", {"tracing": [{"customTags": {"a": {"header": {}}}}]}, "header tag name may not be empty"),
        ("Telemetry", {"tracing": [{"customTags": {"": {"literal": {"value": "v"}}}}]}, "tag name may not be empty"),
        ("Telemetry", {"metrics": [{"overrides": [{"tagOverrides": {"a": {}}}]}]}, "must be set when operation is UPSERT"),
        (
            "Telemetry",
            {"metrics": [{"overrides": [{"tagOverrides": {"a": {"operation": "REMOVE", "value": "x"}}}]}]},
            "may only be set when operation is UPSERT",
        ),
        ("Telemetry", {"metrics": [{"overrides": [{"match": {"customMetric": ""}}]}]}, "customMetric may not be empty"),
        ("ProxyConfig", {"concurrency": 0}, ""),
        ("ProxyConfig", {"concurrency": -1}, "concurrency must be"),
    ],
)
def test_what_istiod_refuses(kind: str, spec: Any, why: str) -> None:
    found = [finding.message for finding in refusals(istio(kind, spec))]
    assert len(found) == bool(why)
    assert all(why in message for message in found)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"tracing": [{}, {}]}, "multiple tracing"),
        ({"tracing": [{"providers": [{"name": "a"}, {"name": "b"}]}]}, "multiple providers"),
        ({"selector": {}}, "without labels"),
        ({"tracing": [{}]}, ""),
    ],
)
def test_warnings(spec: Any, why: str) -> None:
    found = [finding.message for finding in warnings(istio("Telemetry", spec))]
    assert len(found) == bool(why)
    assert all(why in message for message in found)
