"""When does istiod refuse a Sidecar, and when does it warn?

Source: istio pkg/config/validation (`ValidateSidecar`).
"""

from __future__ import annotations

from collections import defaultdict

from chaos.istio.services import parse_protocol
from chaos.istio.validate import values
from chaos.istio.validate.checker import Checker
from chaos.istio.validate.decoding import Message
from chaos.istio.validate.destinationrules import check_pool
from chaos.istio.validate.gateways import check_server_tls
from chaos.istio.validate.selectors import labels_selector
from chaos.istio.validate.virtualservices import check_destination

_OWN_ADDRESSES = ("", "127.0.0.1", "0.0.0.0", "::1", "::")
_UNIQUE_PORTS = "sidecar: ports on IP bound listeners must be unique"


def check_sidecar(check: Checker, spec: Message, namespace: str) -> None:
    if not labels_selector(check, spec["workload_selector"], "sidecar"):
        return
    if not any(spec[f] for f in ("egress", "ingress", "outbound_traffic_policy", "inbound_connection_pool")):
        check.warnings.clear()  # Istio says this alone
        check.error(spec.path, "sidecar: empty configuration provided")
        return
    ports: set[int] = set()
    for listener in spec["ingress"]:
        _check_ingress(check, listener, ports)
    check_pool(check, spec["inbound_connection_pool"])
    _check_egress_ports(check, spec["egress"])
    for listener in spec["egress"]:
        _check_egress_hosts(check, listener, namespace)
    _check_outbound(check, spec["outbound_traffic_policy"])


# ------------------------------------------------------------------------------------------------------------ ingress
def _check_ingress(check: Checker, listener: Message, ports: set[int]) -> None:
    port = listener["port"]
    if not port:
        check.error(listener.path, "sidecar: port is required for ingress listeners")
        return
    _check_port(check, port)
    check.refuse(port.at("number"), values.port(port["number"]))
    if listener["bind"]:
        check.refuse(listener.at("bind"), values.ip_address(listener["bind"]))
    if port["number"] in ports:
        check.error(port.at("number"), _UNIQUE_PORTS)
    ports.add(port["number"])
    if listener["default_endpoint"]:
        _check_default_endpoint(check, listener)
    _check_ingress_tls(check, listener)
    pool = listener["connection_pool"]
    check_pool(check, pool)
    if pool["http"] and not parse_protocol(port["protocol"]).is_http:
        check.warn(
            pool.path,
            f"sidecar: HTTP connection pool settings are configured for port {port['number']} "
            f"({values.quoted(port['name'])}) but its protocol is not HTTP ({port['protocol']}); "
            "only TCP settings will apply",
        )


def _check_port(check: Checker, port: Message) -> None:
    if port["target_port"]:
        check.error(port.at("target_port"), "targetPort has no impact on Sidecars")
    if port["name"]:
        check.refuse(port.at("name"), values.port_name(port["name"]))
    check.refuse(port.at("protocol"), values.protocol(port["protocol"]))


def _check_default_endpoint(check: Checker, listener: Message) -> None:
    endpoint, at = listener["default_endpoint"], listener.at("default_endpoint")
    if endpoint.startswith(values.UNIX):
        check.refuse(at, values.unix_address(endpoint.removeprefix(values.UNIX)))
        return
    host, colon, port = endpoint.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not bracketed):
        check.error(at, f"address {endpoint}: {'too many colons' if colon else 'missing port'} in address")
    if (host[1:-1] if bracketed else host) not in _OWN_ADDRESSES:
        check.error(
            at,
            "sidecar: defaultEndpoint must be of form 127.0.0.1:<port>,0.0.0.0:<port>,[::1]:port,[::]:port,"
            "unix://filepath or unset",
        )
    if port.isascii() and port.isdigit():
        check.refuse(at, values.port(int(port)))
    else:
        check.error(at, f"sidecar: defaultEndpoint port ({port}) is not a number")


def _check_ingress_tls(check: Checker, listener: Message) -> None:
    tls = listener["tls"]
    if not tls:
        return
    for field, why in {
        "subject_alt_names": "subjectAltNames is not supported in ingress tls",
        "https_redirect": "httpsRedirect is not supported",
        "credential_name": "credentialName is not currently supported",
        "credential_names": "credentialNames is not currently supported",
        "tls_certificates": "tls_certificates is not currently supported",
    }.items():
        if tls[field]:
            check.error(tls.at(field), f"sidecar: {why}")
    if tls["mode"] in ("ISTIO_MUTUAL", "AUTO_PASSTHROUGH"):
        why = f"configuration is invalid: cannot set mode to {tls['mode']} in sidecar ingress tls"
        check.error(tls.at("mode"), why)
    if not parse_protocol(listener["port"]["protocol"]).is_tls:
        check.error(tls.path, "server cannot have TLS settings for non HTTPS/TLS ports")
    check_server_tls(check, tls)


# ------------------------------------------------------------------------------------------------------------- egress
def _check_egress_ports(check: Checker, listeners: list[Message]) -> None:
    ports: set[int] = set()
    sockets: set[str] = set()
    for index, listener in enumerate(listeners):
        port, bind = listener["port"], listener["bind"]
        if not port:
            if index < len(listeners) - 1:
                why = "sidecar: the egress listener with empty port should be the last listener in the list"
                check.error(listener.path, why)
            continue
        _check_port(check, port)
        if port["number"]:
            check.refuse(port.at("number"), values.port(port["number"]))
            if bind:
                check.refuse(listener.at("bind"), values.ip_address(bind))
            if port["number"] in ports:
                check.error(port.at("number"), _UNIQUE_PORTS)
            ports.add(port["number"])
            continue
        _check_socket(check, listener)
        if bind in sockets:
            check.error(listener.at("bind"), "sidecar: unix domain socket values for listeners must be unique")
        sockets.add(bind)


def _check_socket(check: Checker, listener: Message) -> None:
    bind = listener["bind"]
    if bind.startswith(values.UNIX):
        check.refuse(listener.at("bind"), values.unix_address(bind.removeprefix(values.UNIX)))
    else:
        check.error(listener.path, "sidecar: ports with 0 value must have a unix domain socket bind address")
    if listener["capture_mode"] not in ("DEFAULT", "NONE"):
        why = "sidecar: captureMode must be DEFAULT/NONE for unix domain socket listeners"
        check.error(listener.at("capture_mode"), why)


def _check_egress_hosts(check: Checker, listener: Message, namespace: str) -> None:
    if not listener["hosts"]:
        check.error(listener.path, "sidecar: egress listener must contain at least one host")
        return
    named: defaultdict[str, set[str]] = defaultdict(set)
    for index, text in enumerate(listener["hosts"]):
        at = listener.at("hosts", index)
        place, slash, host = text.partition("/")
        if slash:
            known = named[namespace if place == "." else place]
            if known and (host == "*" or host in known or "*" in known):
                check.warn(at, f"duplicated egress host: {text}")
            known.add(host)
        check.refuse(at, values.namespaced_host(text, gateway=False))
    if "*" in named.get("*", ()) and len(named) != 1:
        check.warn(listener.at("hosts"), "`*/*` host select all resources, no other hosts can be added")


def _check_outbound(check: Checker, policy: Message) -> None:
    proxy = policy["egress_proxy"]
    if not proxy:
        return
    if policy["mode"] != "ALLOW_ANY":
        why = "sidecar: egress_proxy must be set only with ALLOW_ANY outbound_traffic_policy mode"
        check.error(proxy.path, why)
        return
    check.refuse(proxy.at("host"), values.fqdn(proxy["host"]))
    if not proxy["port"]:
        check.error(proxy.path, "sidecar: egress_proxy port must be non-nil")
        return
    check_destination(check, proxy)
