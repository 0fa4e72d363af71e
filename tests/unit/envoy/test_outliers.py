"""outlierDetection, field by field."""

from __future__ import annotations

import pytest

from chaos.envoy.outliers import outlier_detection, panic_threshold


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({}, {}),
        ({"consecutive5xxErrors": 3}, {"consecutive_5xx": 3, "enforcing_consecutive_5xx": 100}),
        ({"consecutive5xxErrors": 0}, {"consecutive_5xx": 0, "enforcing_consecutive_5xx": 0}),
        (
            {"consecutiveGatewayErrors": 3},
            {"consecutive_gateway_failure": 3, "enforcing_consecutive_gateway_failure": 100},
        ),
        ({"consecutiveGatewayErrors": 0}, {"consecutive_gateway_failure": 0, "enforcing_consecutive_gateway_failure": 0}),
        ({"consecutiveErrors": 3}, {}),
        ({"interval": "1500ms"}, {"interval": "1.5s"}),
        ({"baseEjectionTime": "2m"}, {"base_ejection_time": "120s"}),
        ({"maxEjectionPercent": 50}, {"max_ejection_percent": 50}),
        ({"maxEjectionPercent": 0}, {}),
        (
            {"splitExternalLocalOriginErrors": True, "consecutiveLocalOriginFailures": 2},
            {
                "split_external_local_origin_errors": True,
                "consecutive_local_origin_failure": 2,
                "enforcing_consecutive_local_origin_failure": 100,
                "enforcing_local_origin_success_rate": 0,
            },
        ),
        (
            {"splitExternalLocalOriginErrors": True, "consecutiveLocalOriginFailures": 0},
            {"split_external_local_origin_errors": True, "enforcing_local_origin_success_rate": 0},
        ),
        ({"consecutiveLocalOriginFailures": 2}, {}),
        ({"minHealthPercent": 30}, {}),
    ],
)
def test_fields(written, expected):
    assert outlier_detection(written) == {"enforcing_success_rate": 0} | expected


@pytest.mark.parametrize(("percent", "expected"), [(0, {}), (30, {"value": 30})])
def test_panic_threshold(percent, expected):
    assert panic_threshold(percent) == expected
