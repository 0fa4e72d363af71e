"""What does `istioctl analyze` find in Gateways?

Source: istio pkg/config/analysis/analyzers/gateway. A Gateway without a selector means every pod.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator, Mapping

from chaos.istio.analyze.cluster import Cluster, Object, mappings, selector_text, texts
from chaos.istio.documents import Document
from chaos.istio.findings import Finding, Level
from chaos.istio.validate.decoding import Message
from chaos.istio.workloads import Pod

_DER_SEQUENCE = b"0"


def workloads(cluster: Cluster) -> Iterator[Finding]:
    """IST0101: nobody runs the gateway, or its Secret is missing. IST0161: the Secret is bad. IST0162: the port is no Service's."""
    secrets = {f"{secret.namespace}/{secret.name}": secret for secret in cluster.world.of_kind("Secret", "")}
    for gateway in cluster.of("Gateway"):
        pods = cluster.selected(gateway.spec["selector"])
        if not pods:
            yield gateway.not_found("selector", selector_text(gateway.spec["selector"]), *gateway.spec.at("selector"))
            continue
        yield from _secrets(gateway, pods[0].namespace, secrets)
        yield from _ports(gateway, {port for pod in pods for port in _service_ports(cluster, pod)})


def _secrets(gateway: Object, namespace: str, secrets: Mapping[str, Document]) -> Iterator[Finding]:
    for server in gateway.spec["servers"]:
        tls, name = server["tls"], server["tls"]["credential_name"]
        if not name:
            continue
        secret = secrets.get(name if name.count("/") == 1 else f"{namespace}/{name}")
        if secret is None:
            yield gateway.not_found("credentialName", name, *tls.at("credential_name"))
        elif not _holds_certificate(secret.raw):
            why = (
                f"The credential referenced by the Gateway {gateway.name} in namespace {namespace} is invalid, "
                "which can cause the traffic not to work as expected."
            )
            yield gateway.finding("IST0161", Level.ERROR, why, *tls.at("credential_name"))


def _holds_certificate(secret: Mapping[str, object]) -> bool:
    """A certificate that can be read and a key, under either of the two pairs of names Istio knows."""
    encoded = {key: _decoded(text) for key, text in texts(secret.get("data")).items()}
    held = {**encoded, **texts(secret.get("stringData"))}
    pairs = ((held.get(cert), held.get(key)) for cert, key in (("cert", "key"), ("tls.crt", "tls.key")))
    certificate = next((cert for cert, key in pairs if cert and key), "")
    try:
        return ssl.PEM_cert_to_DER_cert(certificate).startswith(_DER_SEQUENCE)
    except ValueError:
        return False


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode()
    except ValueError:
        return ""


def _ports(gateway: Object, offered: set[object]) -> Iterator[Finding]:
    for server in gateway.spec["servers"]:
        if server["port"] and server["port"]["number"] not in offered:
            yield gateway.finding(
                "IST0162",
                Level.WARNING,
                f"The gateway is listening on a target port (port {server['port']['number']}) that is not defined in the "
                f"Service associated with its workload instances (Pod selector {selector_text(gateway.spec['selector'])}). "
                "If you need to access the gateway port through the gateway Service, it will not be available.",
                *server["port"].at("number"),
            )


def _service_ports(cluster: Cluster, pod: Pod) -> Iterator[object]:
    """Ports and target ports of the Services before a pod; a Service without a selector counts as before all."""
    for service in cluster.world.of_kind("Service", ""):
        if service.namespace == pod.namespace and pod.has(texts(service.spec.get("selector"))):
            for port in mappings(service.spec.get("ports")):
                if port.get("protocol", "TCP") == "TCP":
                    yield port.get("port")
                    yield port.get("targetPort", port.get("port"))


def conflicts(cluster: Cluster) -> Iterator[Finding]:
    """IST0145: another Gateway has the port and a host on the same pods.

    As in Istio, of several servers of a Gateway on one port only the hosts of the last are compared with, and hosts found
    free are noted as taken.
    """
    taken: dict[tuple[str, int], dict[str, dict[str, str]]] = {}
    selectors = {selector_text(gateway.spec["selector"]): gateway.spec["selector"] for gateway in cluster.of("Gateway")}
    for gateway in cluster.of("Gateway"):
        for server in gateway.spec["servers"]:
            same = taken.setdefault((selector_text(gateway.spec["selector"]), server["port"]["number"]), {})
            same[gateway.full_name] = dict.fromkeys(server["hosts"], server["bind"])
    for gateway in cluster.of("Gateway"):
        near = [text for text in selectors if _overlap(cluster, gateway.spec["selector"], text, selectors[text])]
        for server in gateway.spec["servers"]:
            others = [
                name
                for text in near
                for name, hosts in taken.get((text, server["port"]["number"]), {}).items()
                if name != gateway.full_name and _clash(server, hosts)
            ]
            if others:
                yield gateway.finding(
                    "IST0145",
                    Level.ERROR,
                    f"Conflict with gateways {','.join(sorted(others))} (workload selector "
                    f"{selector_text(gateway.spec['selector'])}, port {server['port']['number']}, "
                    f"hosts {','.join(server['hosts'])}).",
                    *server.at("hosts"),
                )


def _overlap(cluster: Cluster, mine: Mapping[str, str], text: str, other: Mapping[str, str]) -> bool:
    own = selector_text(mine)
    if own == text:
        return True
    return (own in text or text in own) and any(pod.has(other) for pod in cluster.selected(mine))


def _clash(server: Message, hosts: dict[str, str]) -> bool:
    if any(hosts.get(host) == server["bind"] for host in server["hosts"]):
        return True
    hosts |= dict.fromkeys(server["hosts"], server["bind"])
    return False


def duplicate_certificates(cluster: Cluster) -> Iterator[Finding]:
    """IST0138: clients that reuse a connection get 404s from the other Gateway."""
    for gateway in cluster.of("Gateway"):
        for other in cluster.of("Gateway"):
            if other is gateway or not gateway.spec["selector"].items() <= other.spec["selector"].items():
                continue
            pairs = ((mine["tls"], theirs["tls"]) for mine in gateway.spec["servers"] for theirs in other.spec["servers"])
            if any(_same_certificate(mine, theirs) for mine, theirs in pairs):
                why = (
                    f"Duplicate certificate in multiple gateways [{gateway.full_name} {other.full_name}] may cause 404s if "
                    "clients re-use HTTP2 connections."
                )
                yield gateway.finding("IST0138", Level.WARNING, why)


def _same_certificate(mine: Message, theirs: Message) -> bool:
    if mine["credential_name"] or theirs["credential_name"]:
        return bool(mine["credential_name"] == theirs["credential_name"])
    fields = ("server_certificate", "private_key")
    return all(mine[field] and mine[field] == theirs[field] for field in fields)


ANALYZERS = (workloads, conflicts, duplicate_certificates)
