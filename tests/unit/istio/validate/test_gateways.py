"""Each row changes one thing in a Gateway that istiod takes."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.istio.validate import refusals, warnings
from tests.manifests import changed, istio, place

GOOD: dict[str, Any] = {
    "selector": {"istio": "ingressgateway"},
    "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
}
HTTPS = changed(GOOD, "servers.0.port", {"number": 443, "name": "https", "protocol": "HTTPS"})
SERVER = "servers.0."


@pytest.mark.parametrize(
    ("path", "value", "at", "why"),
    [
        ("servers", [], "spec", "at least one server"),
        (SERVER + "hosts", [], "spec.servers[0]", "at least one host"),
        (SERVER + "hosts", ["reviews"], "[0]", "short names (non FQDN) are not allowed"),
        (SERVER + "hosts", ["./*.a.com"], "", ""),
        (SERVER + "hosts", ["*a.com"], "[0]", "partial wildcard"),
        (SERVER + "port", ..., "spec.servers[0]", "port is required"),
        (SERVER + "port.number", 0, "", "port number 0"),
        (SERVER + "port.protocol", "SMTP", "", "invalid protocol"),
        (SERVER + "port.protocol", "", "", "invalid protocol"),
        (SERVER + "port.protocol", "http", "", ""),
        (SERVER + "port.name", "", "spec.servers[0].port", "port name must be set"),
        (SERVER + "port.targetPort", 80, "", "no impact on Gateways"),
        (SERVER + "bind", "localhost", "", "not a valid IP"),
        (SERVER + "bind", "127.0.0.1", "", ""),
        (SERVER + "bind", "unix:///a", "spec.servers[0].port.number", "must be 0 for unix domain socket"),
        (SERVER + "tls", {"httpsRedirect": True}, "", ""),
        (SERVER + "tls", {"mode": "SIMPLE", "credentialName": "c"}, "", "plain text HTTP"),
        ("servers.1", {**GOOD["servers"][0]}, ".port.name", "duplicate name http"),
    ],
)  # fmt: skip
def test_one_change(path: str, value: Any, at: str, why: str) -> None:
    found = refusals(istio("Gateway", changed(GOOD, path, value)))
    if not why:
        assert found == []
    else:
        assert [finding.path for finding in found] == [place(path, at)]
        assert why in found[0].message


@pytest.mark.parametrize(
    ("tls", "why"),
    [
        (None, "server must have TLS settings for HTTPS/TLS protocols"),
        ({"mode": "SIMPLE", "credentialName": "c"}, ""),
        ({"mode": "SIMPLE", "serverCertificate": "/a", "privateKey": "/b"}, ""),
        ({"mode": "SIMPLE", "serverCertificate": "/a"}, "SIMPLE TLS requires a private key"),
        ({"mode": "MUTUAL", "serverCertificate": "/a", "privateKey": "/b"}, "MUTUAL TLS requires a client CA bundle"),
        ({"mode": "MUTUAL", "credentialName": "c"}, ""),
        ({"mode": "SIMPLE", "credentialName": "c", "serverCertificate": "/a", "privateKey": "/b"}, "only one of credential_name"),
        ({"mode": "PASSTHROUGH"}, ""),
        ({"mode": "ISTIO_MUTUAL", "credentialName": "c"}, "ISTIO_MUTUAL TLS cannot have associated credentialName"),
        ({"mode": "simple"}, "unknown value"),
    ],
)
def test_certificates(tls: Any, why: str) -> None:
    found = refusals(istio("Gateway", changed(HTTPS, SERVER + "tls", tls)))
    assert len(found) == bool(why)
    assert all(why in finding.message for finding in found)


@pytest.mark.parametrize(
    ("tls", "why"),
    [
        ({"mode": "PASSTHROUGH", "credentialName": "c"}, "does not use certificates"),
        ({"mode": "SIMPLE", "credentialName": "c", "cipherSuites": ["X"]}, "ignoring invalid cipher suites: [X]"),
        ({"mode": "SIMPLE", "credentialName": "c", "minProtocolVersion": "TLSV1_0"}, "require setting compatible ciphers"),
        ({"mode": "SIMPLE", "credentialName": "c", "httpsRedirect": True}, "should only be used with http servers"),
        ({"mode": "SIMPLE", "credentialName": "c", "cipherSuites": ["AES128-SHA", "AES128-SHA"]}, "duplicate cipher suites"),
        ({"mode": "SIMPLE", "credentialName": "c", "cipherSuites": ["!kRSA"]}, ""),
    ],
)
def test_warnings(tls: Any, why: str) -> None:
    found = [finding.message for finding in warnings(istio("Gateway", changed(HTTPS, SERVER + "tls", tls)))]
    assert len(found) == bool(why)
    assert all(why in message for message in found)


def test_tcp_has_no_tls() -> None:
    tcp = changed(
        GOOD,
        "servers.0",
        {"port": {"number": 1, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"], "tls": {"mode": "SIMPLE", "credentialName": "c"}},
    )
    assert ["non HTTPS/TLS ports" in finding.message for finding in refusals(istio("Gateway", tcp))] == [True]


def test_the_name_is_a_label() -> None:
    found = refusals(istio("Gateway", GOOD, name="a.b"))
    assert [finding.path for finding in found] == ["metadata.name"]
