"""Each row changes one thing in a VirtualService that istiod takes."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.istio.findings import Level
from chaos.istio.validate import examine, refusals, warnings
from tests.manifests import changed, istio, place

GOOD: dict[str, Any] = {
    "hosts": ["reviews"],
    "http": [{"match": [{"uri": {"prefix": "/"}}], "route": [{"destination": {"host": "reviews", "subset": "v1"}}]}],
}
LEAF = {"http": GOOD["http"]}
TLS = {"hosts": ["a.com"], "tls": [{"match": [{"sniHosts": ["a.com"]}], "route": [{"destination": {"host": "a.com"}}]}]}
TCP = {"hosts": ["db"], "tcp": [{"route": [{"destination": {"host": "db"}}]}]}
ROUTE = "http.0."


def said(spec: Any) -> list[tuple[str, str]]:
    return [(finding.path, finding.message) for finding in refusals(istio("VirtualService", spec))]


@pytest.mark.parametrize("spec", [GOOD, LEAF, TLS, TCP, changed(GOOD, "gateways", ["mesh", "shop/gw"])])
def test_what_istiod_takes(spec: Any) -> None:
    assert said(spec) == []


@pytest.mark.parametrize(
    ("path", "value", "at", "why"),
    [
        ("http", [], "spec", "http, tcp or tls must be provided"),
        ("hosts", [], "", ""),
        ("hosts", ["a b"], "[0]", 'label "a b" invalid'),
        ("hosts", ["a:80"], "[0]", "invalid"),
        ("hosts", ["*"], "[0]", "wildcard host * is not allowed"),
        ("hosts", ["10.0.0.1"], "", ""),
        ("hosts", ["*.a.com"], "", ""),
        ("hosts", ["a.com", "a.com"], "[1]", "duplicate hosts in virtual service"),
        ("hosts", ["*.com", "a.com"], "[1]", "duplicate hosts in virtual service"),
        ("gateways", ["a b"], "[0]", "invalid"),
        ("exportTo", ["*", "shop"], "", "cannot have both public"),
        ("exportTo", ["~"], "[0]", "not allowed"),
        ("exportTo", [".", "default"], "[1]", "duplicate entries in exportTo"),
        ("exportTo", ["a.b"], "[0]", "DNS 1123 label"),
        (ROUTE + "route", [], "spec.http[0]", "HTTP route, redirect or direct_response is required"),
        (ROUTE + "route.0.destination", ..., "spec.http[0].route[0]", "destination is required"),
        (ROUTE + "route.0.destination.host", "*", "", "invalid destination host *"),
        (ROUTE + "route.0.destination.host", "", "", "empty domain name"),
        (ROUTE + "route.0.destination.subset", "v1.4", "", "subset name is invalid"),
        (ROUTE + "route.0.destination.port", {"number": 0}, ".number", "port number 0"),
        (ROUTE + "route.0.weight", -1, "", "weight -1 < 0"),
        (ROUTE + "route.1", {"destination": {"host": "b"}}, "spec.http[0].route", "total destination weight = 0"),
        (ROUTE + "route.0.headers.request.set", {":path": "/"}, ".:path", "prefix"),
        (ROUTE + "headers.response.remove", ["Host"], "[0]", "cannot set Host header"),
        (ROUTE + "headers.request.add", {"x": "50%"}, ".x", "Un-escaped %"),
        (ROUTE + "timeout", "0s", "", "duration must be greater than 1ms"),
        (ROUTE + "timeout", "1.5ms", "", "ms precision"),
        (ROUTE + "timeout", "2h", "", ""),
        (ROUTE + "retries", {}, "", ""),
        (ROUTE + "retries", {"attempts": -1}, ".attempts", "cannot be negative"),
        (ROUTE + "retries", {"perTryTimeout": "1s"}, "", "attempts are set to 0"),
        (ROUTE + "retries", {"attempts": 1, "retryOn": "5xx, reset"}, ".retryOn", "not a valid retryOn"),
        (ROUTE + "retries", {"attempts": 1, "retryOn": "5xx,503"}, "", ""),
        (ROUTE + "retries", {"attempts": 1, "perTryTimeout": "0s"}, ".perTryTimeout", "1ms"),
        (ROUTE + "retries", {"attempts": 1, "backoff": "0s"}, ".backoff", "1ms"),
        (ROUTE + "fault", {}, "", "must have an abort and/or a delay"),
        (ROUTE + "fault.abort", {"httpStatus": 700}, ".httpStatus", "HTTP status 700"),
        (ROUTE + "fault.abort", {"httpStatus": 600}, "", ""),
        (ROUTE + "fault.abort", {"grpcStatus": "unavailable"}, ".grpcStatus", "not supported"),
        (ROUTE + "fault.abort", {"http2Error": "X"}, ".http2Error", "not supported yet"),
        (ROUTE + "fault.abort", {"percentage": {"value": 101}}, ".percentage", "neither 0.0"),
        (ROUTE + "fault.abort", {}, "", ""),
        (ROUTE + "fault.delay", {"fixedDelay": "1us"}, ".fixedDelay", "1ms"),
        (ROUTE + "fault.delay", {"exponentialDelay": "1s"}, ".exponentialDelay", "not supported yet"),
        (ROUTE + "fault.delay", {"percentage": {"value": 0.00001}}, ".percentage", "neither 0.0"),
        (ROUTE + "mirror", {"host": "*"}, ".host", "invalid destination host"),
        (ROUTE + "mirrorPercent", 101, "", "max value of 100"),
        (ROUTE + "mirrorPercentage", {"value": -1}, "", "min value of 0"),
        (ROUTE + "mirrors", [{}], "[0]", "destination is required for mirrors"),
        (ROUTE + "redirect", {"uri": "/"}, "spec.http[0].route", "cannot contain both route and redirect"),
        (ROUTE + "directResponse", {"status": 200}, "spec.http[0].route", "cannot contain both route and direct_response"),
        (ROUTE + "rewrite", {}, "", "rewrite must specify at least one"),
        (ROUTE + "rewrite", {"uri": "/", "uriRegexRewrite": {"match": "a", "rewrite": "b"}}, "", "only contain one"),
        (ROUTE + "rewrite", {"uriRegexRewrite": {"match": "a"}}, ".uriRegexRewrite", "requires both"),
        (ROUTE + "rewrite", {"uriRegexRewrite": {"match": "(?!a)", "rewrite": "b"}}, ".uriRegexRewrite.match", "RE2"),
        (ROUTE + "corsPolicy", {"allowMethods": ["get"]}, ".allowMethods[0]", "not a supported HTTP method"),
        (ROUTE + "corsPolicy", {"allowOrigins": [{}]}, ".allowOrigins[0]", "not a valid match type"),
        (ROUTE + "corsPolicy", {"allowHeaders": ["a b"]}, ".allowHeaders[0]", "not a valid header name"),
        (ROUTE + "corsPolicy", {"maxAge": "1.5s"}, ".maxAge", "seconds precision"),
        (ROUTE + "match.0.uri", {"regex": "("}, ".regex", "missing closing )"),
        (ROUTE + "match.0.uri", {"prefix": ""}, "", ""),
        (ROUTE + "match.0.method", {"prefix": ""}, ".prefix", "should not be empty"),
        (ROUTE + "match.0.headers", {"a b": {"exact": "c"}}, ".a b", "not a valid header name"),
        (ROUTE + "match.0.headers", {"@request.auth.claims.a": {"exact": "c"}}, ".@request.auth.claims.a", "JWT"),
        (ROUTE + "match.0.withoutHeaders", {"a": {"regex": "*"}}, "", ""),
        (ROUTE + "match.0.queryParams", {"a": {"regex": "*"}}, ".a.regex", "missing argument"),
        (ROUTE + "match.0.port", 70000, "", "port number 70000"),
        (ROUTE + "match.0.sourceLabels", {"a": "*"}, "", "invalid tag value"),
        (ROUTE + "match.0.sourceNamespace", "a.b", "", "is invalid"),
        (ROUTE + "match.0.gateways", ["a/b/c"], "[0]", "invalid value for gateway name"),
        (ROUTE + "delegate", {"name": "leaf"}, "spec.http[0].route", "must not specify route"),
    ],
)  # fmt: skip
def test_one_change(path: str, value: Any, at: str, why: str) -> None:
    found = said(changed(GOOD, path, value))
    if not why:
        assert found == []
    else:
        assert [where for where, _ in found] == [place(path, at)]
        assert why in found[0][1]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (changed(LEAF, "gateways", ["shop/gw"]), "delegate virtual service must have no gateways specified"),
        (changed(LEAF, "tcp", TCP["tcp"]), "delegate virtual service must have no tcp route specified"),
        (changed(LEAF, "http.0.delegate", {"name": "b"}), "delegate HTTP route cannot contain delegate"),
        (changed(TLS, "tls.0.match", []), "TLS route must have at least one match condition"),
        (changed(TLS, "tls.0.match.0.sniHosts", []), "TLS match must have at least one SNI host"),
        (changed(TLS, "tls.0.match.0.sniHosts", ["b.com"]), "not a compatible subset"),
        (changed(TLS, "tls.0.route", []), "TLS route is required"),
        (changed(TCP, "tcp.0.route", []), "TCP route is required"),
        (changed(TCP, "tcp.0.match", [{"destinationSubnets": ["10.0.0.0/40"]}]), "is not a valid CIDR block"),
        ({"hosts": ["a"], "http": [{"redirect": {}}]}, "redirect must specify URI, authority, scheme, or port"),
        ({"hosts": ["a"], "http": [{"redirect": {"uri": "/", "redirectCode": 200}}]}, "must be 3xx"),
        ({"hosts": ["a"], "http": [{"redirect": {"scheme": "ftp"}}]}, "invalid redirect scheme"),
        ({"hosts": ["a"], "http": [{"redirect": {"uri": "/"}, "fault": {"abort": {}}}]}, "cannot contain both fault and redirect"),
        (
            {"hosts": ["a"], "http": [{"redirect": {"uri": "/"}, "rewrite": {"uri": "/"}}]},
            "cannot contain both rewrite and redirect",
        ),
        ({"hosts": ["a"], "http": [{"directResponse": {"status": 100}}]}, "HTTP status 100"),
        ({"hosts": ["a"], "http": [{"directResponse": {"status": 200, "body": {"string": "x" * 1100000}}}]}, "less than 1MB"),
        (
            changed(changed(GOOD, "http.0.rewrite", {"authority": "a"}), "http.0.headers.request.set", {"Host": "b"}),
            "authority header cannot be set multiple times",
        ),
        (
            changed(changed(GOOD, "http.0.mirror", {"host": "a"}), "http.0.mirrors", [{"destination": {"host": "b"}}]),
            "cannot contain both mirror and mirrors",
        ),
    ],
)
def test_combinations(spec: Any, why: str) -> None:
    messages = [message for _, message in said(spec)]
    assert len(messages) == 1
    assert why in messages[0]


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("gateways", ["gw.shop"], "using legacy gatewayName format"),
        (ROUTE + "mirrorPercent", 50, 'using deprecated setting "mirrorPercent"'),
        (ROUTE + "match.0.gateways", ["gw.shop"], ""),
        (ROUTE + "fault.abort", {}, ""),
    ],
)
def test_warnings(path: str, value: Any, why: str) -> None:
    found = warnings(istio("VirtualService", changed(GOOD, path, value)))
    assert [finding.code for finding in found] == (["IST0133"] if why else [])
    assert all(why in finding.message and finding.level is Level.WARNING for finding in found)


def test_claims_may_route_at_a_gateway() -> None:
    spec = changed(GOOD, "http.0.match.0.headers", {"@request.auth.claims.a": {"exact": "c"}})
    assert said(changed(spec, "gateways", ["gw"])) == []


def test_an_ip_address_as_sni_is_only_warned_of() -> None:
    spec = changed(TLS, "tls.0.match.0.sniHosts", ["10.0.0.1"])
    verdict = examine(istio("VirtualService", spec))
    assert not verdict.refusals
    assert "SNI spec" in verdict.warnings[0].message
