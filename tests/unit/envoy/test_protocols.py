"""Which HTTP version a cluster speaks."""

from __future__ import annotations

import pytest

from chaos.envoy.protocols import KEY, HttpProtocolOptions, of_port, upgraded_to_http2
from chaos.istio.services import Protocol, ServicePort

HTTP1 = {"explicit_http_config": {"http_protocol_options": {}}}
HTTP2 = {"explicit_http_config": {"http2_protocol_options": {}}}
FOLLOWING = {"use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}}}


def port(protocol):
    return ServicePort(name="", number=80, protocol=protocol, target=80)


def said(options):
    made = options.proto()
    return None if made is None else {k: v for k, v in made[KEY].items() if k != "@type"}


@pytest.mark.parametrize(
    ("protocol", "sidecar", "gateway"),
    [
        (Protocol.HTTP, None, None),
        (Protocol.HTTP2, HTTP2, HTTP2),
        (Protocol.GRPC, HTTP2, HTTP2),
        (Protocol.GRPC_WEB, HTTP2, HTTP2),
        (Protocol.TCP, None, None),
        (Protocol.HTTPS, None, None),
        (Protocol.AUTO, FOLLOWING, None),
    ],
)
def test_declared_protocol(protocol, sidecar, gateway):
    assert said(of_port(port(protocol), sidecar=True, preserve_case=False)) == sidecar
    assert said(of_port(port(protocol), sidecar=False, preserve_case=False)) == gateway


@pytest.mark.parametrize(
    ("protocol", "where"),
    [
        (Protocol.HTTP, ("explicit_http_config", "http_protocol_options")),
        (Protocol.AUTO, ("use_downstream_protocol_config", "http_protocol_options")),
    ],
)
def test_header_case_is_preserved_on_http1(protocol, where):
    options = said(of_port(port(protocol), sidecar=True, preserve_case=True))

    assert options[where[0]][where[1]]["header_key_format"]["stateful_formatter"]["name"] == "preserve_case"


@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.HTTP2])
def test_header_case_is_nothing_to_others(protocol):
    plain, preserved = (said(of_port(port(protocol), sidecar=True, preserve_case=p)) for p in (False, True))

    assert plain == preserved


@pytest.mark.parametrize(
    ("protocol", "http", "mesh", "expected"),
    [
        (Protocol.HTTP, {}, False, False),
        (Protocol.HTTP, {}, True, True),
        (Protocol.AUTO, {}, True, False),
        (Protocol.TCP, {}, True, False),
        (Protocol.HTTP, {"h2UpgradePolicy": "DO_NOT_UPGRADE"}, True, False),
        (Protocol.HTTP, {"h2UpgradePolicy": "DEFAULT"}, True, True),
        (Protocol.AUTO, {"h2UpgradePolicy": "UPGRADE"}, False, True),
        (Protocol.HTTP, {"h2UpgradePolicy": "UPGRADE", "useClientProtocol": True}, True, False),
    ],
)
def test_upgrade(protocol, http, mesh, expected):
    assert upgraded_to_http2(port(protocol), {"http": http}, mesh_upgrades=mesh) is expected


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        ({}, {"auto_sni": True, "auto_san_validation": True}),
        ({"subjectAltNames": ["a"]}, {"auto_sni": True}),
        ({"insecureSkipVerify": True}, {"auto_sni": True}),
    ],
)
def test_tls_without_a_name_takes_it_from_the_request(tls, expected):
    options = HttpProtocolOptions()
    options.name_server_by_request(tls)

    assert said(options) == HTTP1 | {"upstream_http_protocol_options": expected}


def test_tls_with_a_name_of_its_own_says_nothing():
    options = HttpProtocolOptions()
    options.name_server_by_request({"sni": "a.example.com"})

    assert said(options) is None
