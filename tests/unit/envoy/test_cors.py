from __future__ import annotations

from typing import Any

import pytest

from chaos.envoy.cors import cors_policy

ALWAYS = {"filter_enabled": {"default_value": {"numerator": 100}}, "forward_not_matching_preflights": True}


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ({}, {}),
        (
            {"allowOrigins": [{"exact": "a"}, {"regex": "b.*"}]},
            {"allow_origin_string_match": [{"exact": "a"}, {"safe_regex": {"regex": "b.*"}}]},
        ),
        ({"allowOrigin": ["a", "*"]}, {"allow_origin_string_match": [{"exact": "a"}, {"exact": "*"}]}),
        ({"allowOrigin": ["a"], "allowOrigins": [{"exact": "b"}]}, {"allow_origin_string_match": [{"exact": "b"}]}),
        ({"allowMethods": ["GET", "PUT"]}, {"allow_methods": "GET,PUT"}),
        ({"allowHeaders": ["a", "b"], "exposeHeaders": ["c"]}, {"allow_headers": "a,b", "expose_headers": "c"}),
        ({"allowCredentials": False}, {"allow_credentials": False}),
        ({"maxAge": "1h30m"}, {"max_age": "5400"}),
        ({"maxAge": "1500ms"}, {"max_age": "1"}),
        ({"unmatchedPreflights": "IGNORE"}, {"forward_not_matching_preflights": False}),
        ({"unmatchedPreflights": "FORWARD"}, {}),
    ],
)
def test_policies(written: dict[str, Any], made: dict[str, Any]) -> None:
    found = cors_policy(written)
    assert found.pop("@type").endswith("cors.v3.CorsPolicy")
    assert found == {**ALWAYS, **made}
