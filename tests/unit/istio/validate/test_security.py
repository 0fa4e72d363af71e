from __future__ import annotations

from typing import Any

import pytest

from chaos.istio.validate import refusals, warnings
from tests.manifests import istio

SELECTOR = {"matchLabels": {"app": "reviews"}}


@pytest.mark.parametrize(
    ("kind", "spec", "why"),
    [
        ("PeerAuthentication", {"mtls": {"mode": "STRICT"}}, ""),
        ("PeerAuthentication", {"mtls": {"mode": "strict"}}, "unknown value"),
        ("PeerAuthentication", {"portLevelMtls": {"80": {"mode": "DISABLE"}}}, "cannot have port level mTLS"),
        ("PeerAuthentication", {"selector": SELECTOR, "portLevelMtls": {80: {"mode": "DISABLE"}}}, ""),
        ("PeerAuthentication", {"selector": SELECTOR, "portLevelMtls": {}}, "at least one element"),
        ("PeerAuthentication", {"selector": SELECTOR, "portLevelMtls": {"0": {}}}, "port must be in range"),
        ("RequestAuthentication", {}, ""),
        ("RequestAuthentication", {"jwtRules": [{"issuer": "a"}]}, ""),
        ("RequestAuthentication", {"jwtRules": [{}]}, "issuer or jwksUri"),
        ("RequestAuthentication", {"jwtRules": [{"issuer": "a", "jwksUri": "ftp://a"}]}, "URI scheme"),
        ("RequestAuthentication", {"jwtRules": [{"issuer": "a", "audiences": [""]}]}, "audience must be"),
        ("RequestAuthentication", {"jwtRules": [{"issuer": "a", "fromHeaders": [{}]}]}, "location header name"),
        (
            "RequestAuthentication",
            {"jwtRules": [{"issuer": "a", "outputClaimToHeaders": [{"claim": "c"}]}]},
            "outputClaimToHeaders",
        ),
        ("RequestAuthentication", {"jwtRules": [{"issuer": "a", "timeout": "0s"}]}, "1ms"),
        ("RequestAuthentication", {"selector": SELECTOR, "targetRefs": [{"kind": "Service", "name": "a"}]}, "only one of"),
        ("RequestAuthentication", {"targetRefs": [{"kind": "Pod", "name": "a"}]}, "targetRef must be to one of"),
        (
            "RequestAuthentication",
            {"targetRefs": [{"kind": "Service", "name": "a", "namespace": "b"}]},
            "namespace must not be set",
        ),
        ("AuthorizationPolicy", {}, ""),
        ("AuthorizationPolicy", {"rules": [{}]}, ""),
        ("AuthorizationPolicy", {"action": "DENY"}, "action without `rules` is meaningless"),
        ("AuthorizationPolicy", {"action": "CUSTOM", "rules": [{}]}, "`provider.name` must not be empty"),
        ("AuthorizationPolicy", {"provider": {"name": "a"}, "rules": [{}]}, "must not be with non CUSTOM action"),
        ("AuthorizationPolicy", {"rules": [{"from": [{}]}]}, "`from.source` must not be nil"),
        ("AuthorizationPolicy", {"rules": [{"from": [{"source": {}}]}]}, "`from.source` must not be empty"),
        ("AuthorizationPolicy", {"rules": [{"to": [{"operation": {"ports": ["x"]}}]}]}, "bad port (x)"),
        ("AuthorizationPolicy", {"rules": [{"from": [{"source": {"ipBlocks": ["10.0.0.0/40"]}}]}]}, "bad CIDR range"),
        ("AuthorizationPolicy", {"rules": [{"from": [{"source": {"namespaces": [""]}}]}]}, "must not contain an empty value"),
        ("AuthorizationPolicy", {"rules": [{"when": [{"key": "a"}]}]}, "at least one of `values`"),
        ("AuthorizationPolicy", {"rules": [{"when": [{"values": ["a"]}]}]}, "`key` must not be empty"),
        ("AuthorizationPolicy", {"rules": [{"when": [{"key": "request.headers[a]", "values": ["b"]}]}]}, ""),
        ("AuthorizationPolicy", {"rules": [{"when": [{"key": "request.headers", "values": ["b"]}]}]}, "should have format a[b]"),
        ("AuthorizationPolicy", {"rules": [{"when": [{"key": "source.port", "values": ["b"]}]}]}, "unknown attribute"),
        ("AuthorizationPolicy", {"rules": [{"when": [{"key": "source.ip", "values": ["b"]}]}]}, "bad IP address (b)"),
        ("AuthorizationPolicy", {"rules": [{"when": [{"key": "destination.port", "notValues": ["b"]}]}]}, "bad port (b)"),
        (
            "AuthorizationPolicy",
            {"rules": [{"from": [{"source": {"serviceAccounts": ["a"], "namespaces": ["b"]}}]}]},
            "cannot set serviceAccounts",
        ),
        (
            "AuthorizationPolicy",
            {"action": "CUSTOM", "provider": {"name": "p"}, "rules": [{"from": [{"source": {"namespaces": ["a"]}}]}]},
            "not supported with CUSTOM action",
        ),
    ],
)
def test_what_istiod_refuses(kind: str, spec: Any, why: str) -> None:
    found = [finding.message for finding in refusals(istio(kind, spec))]
    assert len(found) == bool(why)
    assert all(why in message for message in found)


@pytest.mark.parametrize(
    ("rules", "warned"),
    [
        ([{"to": [{"operation": {"methods": ["GET"]}}]}], True),
        ([{"to": [{"operation": {"methods": ["GET"], "ports": ["80"]}}]}], False),
        ([{"from": [{"source": {"requestPrincipals": ["a"]}}]}], True),
        ([{"from": [{"source": {"namespaces": ["a"]}}]}], False),
    ],
)
def test_denying_by_http_attributes_denies_tcp_too(rules: Any, warned: bool) -> None:
    found = warnings(istio("AuthorizationPolicy", {"action": "DENY", "rules": rules}))
    assert ["deny all traffic to TCP ports" in finding.message for finding in found] == [True] * warned
