"""Who may call from a browser? From a VirtualService's `corsPolicy` to the cors filter's per-route configuration.

Facts: istio RT `TranslateCORSPolicy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from chaos.envoy.faults import hundredths
from chaos.envoy.matches import string_match
from chaos.istio.durations import parse

CORS = "envoy.filters.http.cors"
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy"


def cors_policy(written: Mapping[str, Any]) -> dict[str, Any]:
    """Preflights that match no origin are forwarded unless `unmatchedPreflights: IGNORE`, as before Envoy 1.30."""
    policy: dict[str, Any] = {
        "@type": _TYPE,
        "filter_enabled": {"default_value": hundredths(100)},
        "forward_not_matching_preflights": written.get("unmatchedPreflights") != "IGNORE",
    }
    if written.get("allowOrigins"):
        policy["allow_origin_string_match"] = [string_match(origin) for origin in written["allowOrigins"]]
    elif written.get("allowOrigin"):
        policy["allow_origin_string_match"] = [{"exact": origin} for origin in written["allowOrigin"]]
    for key, field in (("allowMethods", "allow_methods"), ("allowHeaders", "allow_headers"), ("exposeHeaders", "expose_headers")):
        if written.get(key):
            policy[field] = ",".join(map(str, written[key]))
    if written.get("allowCredentials") is not None:
        policy["allow_credentials"] = bool(written["allowCredentials"])
    if written.get("maxAge") is not None:
        policy["max_age"] = str(parse(written["maxAge"]) // timedelta(seconds=1))
    return policy
