"""Which HTTP version does a cluster speak upstream? Envoy's HttpProtocolOptions, put together step by step.

istiod leaves them out for plain HTTP/1 clusters; whatever sets one of them (a pool limit, TLS, sniffing) makes it say the
protocol too. Facts: istio CB `setUpstreamProtocol`, `setH2Options`, `setUseDownstreamProtocol`, `build`; CTP
`shouldH2Upgrade`; cluster_tls.go `setAutoSniAndAutoSanValidation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaos.envoy.proxyconfig import proxy_headers
from chaos.istio.services import Protocol, ServicePort
from chaos.istio.world import Proxy, World

KEY = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TYPE = f"type.googleapis.com/{KEY}"
PRESERVE_CASE = {
    "header_key_format": {
        "stateful_formatter": {
            "name": "preserve_case",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
            },
        }
    }
}
# Of the clusters that go wherever the caller wanted to go: its protocol, and five minutes of idle connections.
PASSTHROUGH = {
    KEY: {
        "@type": _TYPE,
        "common_http_protocol_options": {"idle_timeout": "300s"},
        "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}},
    }
}


class HttpProtocolOptions:
    """The options of one cluster while it is being built; `proto` gives them when all is said."""

    __slots__ = ("_common", "_errors", "_http1", "_http2", "_sniffed", "_upstream")

    def __init__(self) -> None:
        self._common: dict[str, Any] | None = None
        self._errors: tuple[int, ...] = ()
        self._upstream: dict[str, Any] = {}
        self._http1: Mapping[str, Any] | None = None
        self._http2: dict[str, Any] | None = None
        self._sniffed = False

    def speak_http2(self) -> None:
        self._http2, self._sniffed = {}, False

    def preserve_header_case(self) -> None:
        self._http1 = PRESERVE_CASE

    def follow_downstream(self) -> None:
        """Speak upstream what the caller spoke; what was said of HTTP/2 before is forgotten."""
        self._http2, self._sniffed = None, True

    def limit_connections(self, common: Mapping[str, Any], max_concurrent_streams: int) -> None:
        """`common`: idle_timeout, max_connection_duration, max_requests_per_connection. Streams count on explicit HTTP/2 only."""
        if not common and not max_concurrent_streams:
            return
        self._common = dict(common)
        if self._http2 is not None and max_concurrent_streams:
            self._http2 = {"max_concurrent_streams": max_concurrent_streams}

    def ping(self, keepalive: Mapping[str, str]) -> None:
        """HTTP/2 pings on idle connections, on explicit HTTP/2 only."""
        if self._http2 is not None and keepalive:
            self._http2 = {**self._http2, "connection_keepalive": dict(keepalive)}

    def count_as_errors(self, codes: Sequence[int]) -> None:
        """Outlier detection counts these answers, and no others."""
        self._errors = tuple(codes)

    def name_server_by_request(self, tls: Mapping[str, Any]) -> None:
        """With TLS of the user's own and no `sni`, the SNI and the names to verify come from the request's Host."""
        if tls.get("sni"):
            return
        self._upstream["auto_sni"] = True
        if not tls.get("subjectAltNames") and not tls.get("insecureSkipVerify"):
            self._upstream["auto_san_validation"] = True

    def apply_to(self, cluster: dict[str, Any]) -> None:
        made = self.proto()
        if made is not None:
            cluster["typed_extension_protocol_options"] = made

    def proto(self) -> dict[str, Any] | None:
        """The value of `typed_extension_protocol_options`; None where nothing was said."""
        options = self._version()
        if self._common is not None:
            options["common_http_protocol_options"] = self._common
        if self._upstream:
            options["upstream_http_protocol_options"] = self._upstream
        if self._errors:
            options["outlier_detection"] = {"error_matcher": _any_status(self._errors)}
        if not options:
            return None
        if not self._sniffed:
            # Envoy requires a version as soon as there are options.
            options.setdefault("explicit_http_config", {"http_protocol_options": {}})
        return {KEY: {"@type": _TYPE, **options}}

    def _version(self) -> dict[str, Any]:
        if self._sniffed:
            return {"use_downstream_protocol_config": {"http_protocol_options": self._http1 or {}, "http2_protocol_options": {}}}
        if self._http2 is not None:
            return {"explicit_http_config": {"http2_protocol_options": self._http2}}
        if self._http1 is not None:
            return {"explicit_http_config": {"http_protocol_options": self._http1}}
        return {}


def _any_status(codes: Sequence[int]) -> dict[str, Any]:
    """envoy.config.common.matcher.v3.MatchPredicate"""
    rules = [
        {"http_response_headers_match": {"headers": [{"name": ":status", "string_match": {"exact": str(code)}}]}} for code in codes
    ]
    return rules[0] if len(rules) == 1 else {"or_match": {"rules": rules}}


def of_port(port: ServicePort, *, sidecar: bool, preserve_case: bool) -> HttpProtocolOptions:
    """What the declared protocol says: HTTP/2 for http2 and grpc ports; a sniffed port follows its caller in sidecars."""
    options = HttpProtocolOptions()
    if port.protocol.is_http2:
        options.speak_http2()
        return options
    if preserve_case and port.protocol.is_http_or_sniffed:
        options.preserve_header_case()
    if sidecar and port.protocol is Protocol.AUTO:
        options.follow_downstream()
    return options


def preserves_case(world: World, proxy: Proxy) -> bool:
    """Does the ProxyConfig keep the case of HTTP/1 header names (`proxyHeaders.preserveHttp1HeaderCase`)?"""
    return bool(proxy_headers(world, proxy.pod).get("preserveHttp1HeaderCase"))


def upgraded_to_http2(port: ServicePort, pool: Mapping[str, Any], *, mesh_upgrades: bool) -> bool:
    """Does h2UpgradePolicy, of the rule or the mesh, turn an outbound cluster into HTTP/2? The mesh's only on HTTP ports."""
    http = pool.get("http") or {}
    if http.get("useClientProtocol"):
        return False
    policy = http.get("h2UpgradePolicy")
    if policy in ("UPGRADE", "DO_NOT_UPGRADE"):
        return bool(policy == "UPGRADE")
    return mesh_upgrades and port.protocol.is_http
