"""When does istiod refuse a ServiceEntry, a WorkloadEntry or a WorkloadGroup, and when does it warn?

Source: istio pkg/config/validation (`ValidateServiceEntry`, `validateWorkloadEntry`, `ValidateWorkloadGroup`).
"""

from __future__ import annotations

from collections.abc import Mapping

from chaos.istio.services import Protocol, parse_protocol
from chaos.istio.validate import values
from chaos.istio.validate.checker import Checker
from chaos.istio.validate.decoding import Message
from chaos.istio.validate.selectors import export_to, labels_selector

_BY_DNS = ("DNS", "DNS_ROUND_ROBIN")
_OVER_TCP = frozenset({Protocol.TCP, Protocol.HTTPS, Protocol.TLS, Protocol.MONGO, Protocol.REDIS, Protocol.MYSQL})
_OPT_OUT = "networking.istio.io/enable-autoallocate-ip"


def check_service_entry(check: Checker, spec: Message, namespace: str, labels: Mapping[str, str]) -> None:
    if not labels_selector(check, spec["workload_selector"], "service entry"):
        return
    if spec["workload_selector"] and spec["endpoints"]:
        check.error(spec.at("endpoints"), "only one of WorkloadSelector or Endpoints is allowed in Service Entry")
    _check_hosts(check, spec)
    _check_addresses(check, spec)
    _check_ports(check, spec, labels)
    match spec["resolution"]:
        case "NONE":
            if spec["endpoints"]:
                check.error(spec.at("endpoints"), "no endpoints should be provided for resolution type none")
            if spec["workload_selector"]:
                why = "workloadSelector should not be set when resolution mode is NONE"
                check.warn(spec.at("workload_selector"), why)
        case "STATIC":
            ports = {port["name"] for port in spec["ports"]}
            for endpoint in spec["endpoints"]:
                check_workload(check, endpoint, ports)
        case "DNS" | "DNS_ROUND_ROBIN":
            _check_dns(check, spec)
    _check_many_hosts(check, spec)
    export_to(check, spec, namespace, service_entry=True)


def _check_hosts(check: Checker, spec: Message) -> None:
    if not spec["hosts"]:
        check.error(spec.path, "service entry must have at least one host")
    for index, host in enumerate(spec["hosts"]):
        at = spec.at("hosts", index)
        if host == "*":
            check.error(at, "invalid host *")
            continue
        check.refuse(at, values.wildcard_domain(host))
        if wrong := values.partial_wildcard(host):
            check.warn(at, wrong)


def _check_addresses(check: Checker, spec: Message) -> None:
    for index, address in enumerate(spec["addresses"]):
        check.refuse(spec.at("addresses", index), values.subnet(address))
    if any("/" in address for address in spec["addresses"]) and spec["resolution"] not in ("NONE", "STATIC"):
        check.error(spec.at("addresses"), "CIDR addresses are allowed only for NONE/STATIC resolution types")


def _check_ports(check: Checker, spec: Message, labels: Mapping[str, str]) -> None:
    names: set[str] = set()
    numbers: set[int] = set()
    allocated = spec["resolution"] != "NONE" and labels.get(_OPT_OUT, "").lower() != "false"
    for port in spec["ports"]:
        if port["name"] in names:
            check.error(port.path, f"service entry port name {values.quoted(port['name'])} already defined")
        if port["number"] in numbers:
            check.error(port.path, f"service entry port {port['number']} already defined")
        names.add(port["name"])
        numbers.add(port["number"])
        if port["target_port"]:
            check.refuse(port.at("target_port"), values.port(port["target_port"]))
        if not spec["addresses"] and not allocated and port["protocol"] in ("", "TCP"):
            check.warn(
                port.path,
                "addresses are required for ports serving TCP (or unset) protocol when IP Autoallocation is not enabled",
            )
        check.refuse(port.at("name"), values.port_name(port["name"]))
        check.refuse(port.at("protocol"), values.protocol(port["protocol"]))
        check.refuse(port.at("number"), values.port(port["number"]))


def _check_dns(check: Checker, spec: Message) -> None:
    resolution, endpoints = spec["resolution"], spec["endpoints"]
    for index, host in enumerate(() if endpoints else spec["hosts"]):
        if values.fqdn(host):
            why = f"hosts must be FQDN if no endpoints are provided for resolution mode {resolution}"
            check.error(spec.at("hosts", index), why)
    if resolution == "DNS_ROUND_ROBIN" and len(endpoints) > 1:
        why = f"there must only be 0 or 1 endpoint for resolution mode {resolution}"
        check.error(spec.at("endpoints"), why)
    ports = {port["name"] for port in spec["ports"]}
    for endpoint in endpoints:
        if not values.is_ip(endpoint["address"]) and values.fqdn(endpoint["address"]):
            _not_an_address(check, endpoint, "FQDN or an IP address")
        check.refuse(endpoint.at("labels"), values.labels(endpoint["labels"]))
        _check_endpoint_ports(check, endpoint, ports)
    over_tcp = any(parse_protocol(port["protocol"]) in _OVER_TCP for port in spec["ports"])
    if spec["addresses"] and over_tcp and len(spec["hosts"]) > 1:
        check.warn(
            spec.at("hosts"),
            "service entry can not have more than one host specified simultaneously with address and tcp port",
        )


def _check_many_hosts(check: Checker, spec: Message) -> None:
    """Without a Host header or SNI nothing tells several hosts apart."""
    if spec["resolution"] == "NONE" or len(spec["hosts"]) < 2:
        return
    protocols = [parse_protocol(port["protocol"]) for port in spec["ports"]]
    if any(not (protocol.is_http or protocol.is_tls) for protocol in protocols):
        check.error(spec.at("hosts"), "multiple hosts provided with non-HTTP, non-TLS ports")


# ---------------------------------------------------------------------------------------------------------- workloads
def check_workload(check: Checker, workload: Message, ports: set[str] | None = None) -> None:
    """A WorkloadEntry, or (with `ports`, those of its ServiceEntry) a static endpoint, which has an address and no name."""
    address = workload["address"]
    if not address and not workload["network"]:
        check.error(workload.path, "address is required")
        return
    if not address:
        check.warn(workload.path, f"address is unset with network {values.quoted(workload['network'])}")
    unix = address.startswith(values.UNIX)
    if unix:
        check.refuse(workload.at("address"), values.unix_address(address.removeprefix(values.UNIX)))
        if workload["ports"]:
            check.error(workload.at("ports"), f"unix endpoint {address} must not include ports")
    elif address and not values.is_ip(address):
        if ports is not None:
            _not_an_address(check, workload, "IP address")
        elif values.fqdn(address):
            _not_an_address(check, workload, "FQDN or an IP address")
    _check_endpoint_ports(check, workload, ports)
    check.refuse(workload.at("labels"), values.labels(workload["labels"]))
    if unix and ports is not None and len(ports) != 1:
        check.error(workload.path, "exactly 1 service port required for unix endpoints")


def _not_an_address(check: Checker, endpoint: Message, wanted: str) -> None:
    why = f"endpoint address {values.quoted(endpoint['address'])} is not a valid {wanted}"
    check.error(endpoint.at("address"), why)


def _check_endpoint_ports(check: Checker, endpoint: Message, ports: set[str] | None) -> None:
    for name, number in endpoint["ports"].items():
        at = endpoint.at("ports", name)
        if ports is not None and name not in ports:
            check.error(at, f"endpoint port {number} is not defined by the service entry")
        check.refuse(at, values.port_name(name))
        check.refuse(at, values.port(number))


def check_workload_group(check: Checker, spec: Message) -> None:
    if not spec["template"]:
        check.error(spec.path, "template is required")
        return
    for wrong in values.labels(spec["metadata"]["labels"]):
        check.error(spec["metadata"].at("labels"), f"invalid labels: {wrong}")
        return
    if spec["probe"]:
        _check_probe(check, spec["probe"])


def _check_probe(check: Checker, probe: Message) -> None:
    for field in (
        "period_seconds", "initial_delay_seconds", "timeout_seconds", "success_threshold", "failure_threshold",
    ):  # fmt: skip
        if probe[field] < 0:
            check.error(probe.at(field), f"{probe.at(field)[-1]} must be non-negative")
    method = probe.which("http_get", "tcp_socket", "exec", "grpc")
    if method is None:
        check.error(probe.path, "a health check method is required: httpGet, tcpSocket, exec or grpc")
        return
    if method == "exec":
        if not probe["exec"]["command"]:
            check.error(probe["exec"].path, "exec.command is required")
        return
    check.refuse(probe[method].at("port"), values.port(probe[method]["port"]))
    if method == "http_get":
        if probe["http_get"]["scheme"] not in ("", "HTTP", "HTTPS"):
            check.error(probe["http_get"].at("scheme"), 'httpGet.scheme must be one of "HTTPS", "HTTP"')
        for header in probe["http_get"]["http_headers"]:
            check.refuse(header.at("name"), values.plain_header_name(header["name"]))
