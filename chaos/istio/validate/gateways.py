"""When does istiod refuse a Gateway, and when does it warn? Also the TLS settings of servers, which Sidecars share.

Source: istio pkg/config/validation (`ValidateGateway`, `validateServer`, `validateTLSOptions`).
"""

from __future__ import annotations

from chaos.istio.services import parse_protocol
from chaos.istio.validate import values
from chaos.istio.validate.checker import Checker
from chaos.istio.validate.decoding import Message

_PASSTHROUGH = frozenset({"PASSTHROUGH", "AUTO_PASSTHROUGH"})
_TERMINATING = frozenset({"SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"})
_CERTIFICATE = (
    "server_certificate", "private_key", "ca_certificates", "tls_certificates", "credential_name", "credential_names",
)  # fmt: skip


def check_gateway(check: Checker, spec: Message, name: str) -> None:
    if not values.is_dns_label(name):
        check.error(("metadata", "name"), f"invalid gateway name: {values.quoted(name)}")
    if not spec["servers"]:
        check.error(spec.path, "gateway must have at least one server")
    names: set[str] = set()
    for server in spec["servers"]:
        _check_server(check, server)
        port = server["port"]
        if port and port["name"] in names:
            check.error(port.at("name"), f"port names in servers must be unique: duplicate name {port['name']}")
        if port:
            names.add(port["name"])
        if port and server["tls"]["https_redirect"] and not parse_protocol(port["protocol"]).is_http:
            check.warn(server["tls"].at("https_redirect"), "tls.httpsRedirect should only be used with http servers")


def _check_server(check: Checker, server: Message) -> None:
    if not server["hosts"]:
        check.error(server.path, "server config must contain at least one host")
    for index, host in enumerate(server["hosts"]):
        check.refuse(server.at("hosts", index), values.namespaced_host(host, gateway=True))
    before = len(check.errors)
    _check_port(check, server)
    port_is_fine = len(check.errors) == before
    _check_bind(check, server)
    check_server_tls(check, server["tls"])
    if port_is_fine:
        _check_tls_fits_protocol(check, server)


def _check_port(check: Checker, server: Message) -> None:
    port = server["port"]
    if not port:
        check.error(server.path, "port is required")
        return
    if not values.is_protocol(port["protocol"]):
        check.error(
            port.at("protocol"),
            f"invalid protocol {values.quoted(port['protocol'])}, "
            "supported protocols are HTTP, HTTP2, GRPC, GRPC-WEB, MONGO, REDIS, MYSQL, TCP",
        )
    if port["number"] or not server["bind"].startswith(values.UNIX):
        check.refuse(port.at("number"), values.port(port["number"]))
    if port["target_port"]:
        check.error(port.at("target_port"), "targetPort has no impact on Gateways")
    if not port["name"]:
        check.error(port.path, "port name must be set")


def _check_bind(check: Checker, server: Message) -> None:
    bind = server["bind"]
    if bind.startswith(values.UNIX):
        check.refuse(server.at("bind"), values.unix_address(bind.removeprefix(values.UNIX)))
        if server["port"]["number"]:
            check.error(server["port"].at("number"), "port number must be 0 for unix domain socket")
    elif bind:
        check.refuse(server.at("bind"), values.ip_address(bind))


def _check_tls_fits_protocol(check: Checker, server: Message) -> None:
    protocol, tls = parse_protocol(server["port"]["protocol"]), server["tls"]
    if protocol.is_tls and not tls:
        check.error(server.path, "server must have TLS settings for HTTPS/TLS protocols")
    elif tls and not protocol.is_tls and not protocol.is_http:
        check.error(tls.path, "server cannot have TLS settings for non HTTPS/TLS ports")
    elif tls and not protocol.is_tls:  # plain HTTP: only the redirect to HTTPS makes sense
        own = any(tls[field] for field in ("ca_certificates", "private_key", "server_certificate"))
        if own or tls["mode"] not in _PASSTHROUGH:
            check.error(tls.path, "server cannot have TLS settings for plain text HTTP ports")


def check_server_tls(check: Checker, tls: Message) -> None:
    """Which certificates a mode needs, and which it cannot have."""
    if not tls:
        return
    _check_ciphers(check, tls)
    mode = tls["mode"]
    if mode == "ISTIO_MUTUAL":
        names = ("server certificate", "private key", "CA bundle", "tlsCertificates", "credentialName", "credentialNames")
        for field, name in zip(_CERTIFICATE, names, strict=True):
            if tls[field]:
                check.error(tls.at(field), f"ISTIO_MUTUAL TLS cannot have associated {name}")
        return
    if mode in _PASSTHROUGH and (tls["ca_crl"] or any(tls[field] for field in _CERTIFICATE)):
        check.warn(tls.path, f"{mode} mode does not use certificates, they will be ignored")
    sources = (
        tls["server_certificate"] and tls["private_key"],
        tls["credential_name"],
        tls["credential_names"],
        tls["tls_certificates"],
    )
    if sum(map(bool, sources)) > 1:
        check.error(
            tls.path,
            "only one of credential_name, credential_names, server_certificate/private_key, tls_certificates should be specified",
        )
    if mode in _TERMINATING and (tls["credential_name"] or tls["credential_names"]):
        return  # fetched as a secret
    if mode in _TERMINATING:
        _check_certificates(check, tls)
    if tls["ca_crl"] and tls["credential_name"]:
        why = "CRL is not supported with credentialName. CRL has to be specified in the credential"
        check.error(tls.at("ca_crl"), why)
    if tls["ca_crl"] and mode == "SIMPLE":
        check.error(tls.at("ca_crl"), "CRL is not supported with SIMPLE TLS")


def _check_certificates(check: Checker, tls: Message) -> None:
    kind = "SIMPLE TLS" if tls["mode"] == "SIMPLE" else "MUTUAL TLS"
    if kind == "MUTUAL TLS" and not tls["ca_certificates"]:
        check.error(tls.path, f"{kind} requires a client CA bundle")
    if len(tls["tls_certificates"]) > 2:
        check.warn(tls.at("tls_certificates"), f"{kind} can support up to 2 server certificates")
    for pair in tls["tls_certificates"] or [tls]:
        for field, name in (("server_certificate", "server certificate"), ("private_key", "private key")):
            if not pair[field]:
                check.error(pair.path, f"{kind} requires a {name}")


def _check_ciphers(check: Checker, tls: Message) -> None:
    suites: list[str] = tls["cipher_suites"]
    if tls["min_protocol_version"] in ("TLSV1_0", "TLSV1_1") and not suites:
        check.warn(
            tls.at("min_protocol_version"),
            "TLS version below TLSV1_2 require setting compatible ciphers as by default they no longer include compatible ciphers.",
        )
    invalid = sorted({suite for suite in suites if not _is_cipher(suite)})
    repeated = sorted({suite for suite in suites if _is_cipher(suite) and suites.count(suite) > 1})
    if invalid:
        check.warn(tls.at("cipher_suites"), f"ignoring invalid cipher suites: [{' '.join(invalid)}]")
    if repeated:
        check.warn(tls.at("cipher_suites"), f"ignoring duplicate cipher suites: [{' '.join(repeated)}]")


def _is_cipher(suite: str) -> bool:
    """Anything that begins with punctuation is OpenSSL's list language, which Istio does not read."""
    return suite in ("", "ALL") or not suite[0].isalnum() or suite in values.CIPHER_SUITES
