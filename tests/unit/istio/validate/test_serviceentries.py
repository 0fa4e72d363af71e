"""Each row changes one thing in a ServiceEntry that istiod takes."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.istio.validate import refusals, warnings
from tests.manifests import changed, istio

GOOD: dict[str, Any] = {
    "hosts": ["api.example.com"],
    "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
    "resolution": "STATIC",
    "endpoints": [{"address": "192.0.2.1"}],
}
DNS = {**GOOD, "resolution": "DNS", "endpoints": []}
NONE = {**GOOD, "resolution": "NONE", "endpoints": []}
TCP = {"number": 5432, "name": "tcp", "protocol": "TCP"}


@pytest.mark.parametrize("spec", [GOOD, DNS, NONE, {**GOOD, "endpoints": []}, {**DNS, "endpoints": [{"address": "a.com"}]}])
def test_what_istiod_takes(spec: Any) -> None:
    assert refusals(istio("ServiceEntry", spec)) == []


@pytest.mark.parametrize(
    ("spec", "at", "why"),
    [
        (changed(GOOD, "hosts", []), "spec", "at least one host"),
        (changed(GOOD, "hosts", ["*"]), "spec.hosts[0]", "invalid host *"),
        (changed(GOOD, "hosts", ["a b"]), "spec.hosts[0]", "invalid"),
        (changed(GOOD, "addresses", ["10.0.0.0/40"]), "spec.addresses[0]", "not a valid CIDR"),
        (changed(GOOD, "addresses", ["localhost"]), "spec.addresses[0]", "not a valid IP"),
        (changed(DNS, "addresses", ["10.0.0.0/8"]), "spec.addresses", "NONE/STATIC"),
        (changed(GOOD, "ports.0.number", 0), "spec.ports[0].number", "port number 0"),
        (changed(GOOD, "ports.0.name", ""), "spec.ports[0].name", "invalid port name"),
        (changed(GOOD, "ports.0.protocol", "SMTP"), "spec.ports[0].protocol", "unsupported protocol"),
        (changed(GOOD, "ports.0.targetPort", 70000), "spec.ports[0].targetPort", "port number 70000"),
        (changed(GOOD, "ports.1", {"number": 80, "name": "b", "protocol": "HTTP"}), "spec.ports[1]", "port 80 already defined"),
        (changed(GOOD, "ports.1", {"number": 81, "name": "http", "protocol": "HTTP"}), "spec.ports[1]", '"http" already defined'),
        (changed(GOOD, "endpoints.0.address", "a.com"), "spec.endpoints[0].address", "not a valid IP address"),
        (changed(GOOD, "endpoints.0.address", ""), "spec.endpoints[0]", "address is required"),
        (changed(GOOD, "endpoints.0.ports", {"other": 80}), "spec.endpoints[0].ports.other", "not defined by the service entry"),
        (changed(GOOD, "endpoints.0.labels", {"a b": "c"}), "spec.endpoints[0].labels", "invalid tag key"),
        (
            changed(GOOD, "endpoints.0", {"address": "unix:///a", "ports": {"http": 1}}),
            "spec.endpoints[0].ports",
            "must not include ports",
        ),
        (changed(GOOD, "workloadSelector", {"labels": {"a": "b"}}), "spec.endpoints", "only one of WorkloadSelector or Endpoints"),
        (changed(NONE, "endpoints", [{"address": "192.0.2.1"}]), "spec.endpoints", "no endpoints should be provided"),
        (changed(DNS, "hosts", ["*.a.com"]), "spec.hosts[0]", "hosts must be FQDN"),
        (changed(DNS, "endpoints", [{"address": "unix:///a"}]), "spec.endpoints[0].address", "FQDN or an IP address"),
        (
            changed(changed(DNS, "resolution", "DNS_ROUND_ROBIN"), "endpoints", [{"address": "a.com"}, {"address": "b.com"}]),
            "spec.endpoints",
            "0 or 1 endpoint",
        ),
        (
            changed(changed(GOOD, "hosts", ["a.com", "b.com"]), "ports.0", TCP),
            "spec.hosts",
            "multiple hosts provided with non-HTTP",
        ),
        (changed(GOOD, "exportTo", ["a.b"]), "spec.exportTo[0]", "DNS 1123 label"),
        (changed(GOOD, "exportTo", ["~", "*"]), "spec.exportTo", "cannot"),
        (changed(GOOD, "workloadSelector", {"labels": {"a": "*"}}), "spec.workloadSelector.labels", "wildcard"),
    ],
)
def test_what_istiod_refuses(spec: Any, at: str, why: str) -> None:
    found = refusals(istio("ServiceEntry", spec))
    assert found[0].path == at
    assert why in found[0].message


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (changed(GOOD, "hosts", ["*a.com"]), "partial wildcard"),
        (changed(NONE, "ports.0", TCP), "addresses are required"),
        (changed(GOOD, "ports.0", TCP), ""),
        (changed(changed(NONE, "ports.0", TCP), "addresses", ["10.0.0.0/8"]), ""),
        (changed(NONE, "workloadSelector", {"labels": {"a": "b"}}), "should not be set when resolution mode is NONE"),
        (changed({**GOOD, "endpoints": []}, "workloadSelector", {}), "will be applied to all services"),
        (changed(GOOD, "exportTo", ["~"]), ""),
    ],
)
def test_warnings(spec: Any, why: str) -> None:
    found = [finding.message for finding in warnings(istio("ServiceEntry", spec))]
    assert len(found) == bool(why)
    assert all(why in message for message in found)


def test_addresses_are_required_where_none_are_made_up() -> None:
    labels = {"networking.istio.io/enable-autoallocate-ip": "false"}
    found = warnings(istio("ServiceEntry", changed(GOOD, "ports.0", TCP), labels=labels))
    assert ["addresses are required" in finding.message for finding in found] == [True]


@pytest.mark.parametrize(
    ("kind", "spec", "why"),
    [
        ("WorkloadEntry", {"address": "192.0.2.1"}, ""),
        ("WorkloadEntry", {"address": "vm.example.com"}, ""),
        ("WorkloadEntry", {"network": "n"}, ""),
        ("WorkloadEntry", {}, "address is required"),
        ("WorkloadEntry", {"address": "a b"}, "FQDN or an IP address"),
        ("WorkloadEntry", {"address": "192.0.2.1", "ports": {"http": 0}}, "port number 0"),
        ("WorkloadGroup", {"template": {}}, ""),
        ("WorkloadGroup", {}, "template is required"),
        ("WorkloadGroup", {"template": {}, "metadata": {"labels": {"a b": "c"}}}, "invalid labels"),
        ("WorkloadGroup", {"template": {}, "probe": {}}, "health check method is required"),
        ("WorkloadGroup", {"template": {}, "probe": {"httpGet": {"port": 0}}}, "port number 0"),
        ("WorkloadGroup", {"template": {}, "probe": {"exec": {}}}, "exec.command is required"),
        ("WorkloadGroup", {"template": {}, "probe": {"tcpSocket": {"port": 80}, "periodSeconds": -1}}, "periodSeconds must be"),
    ],
)
def test_workloads(kind: str, spec: Any, why: str) -> None:
    found = [finding.message for finding in refusals(istio(kind, spec))]
    assert len(found) == bool(why)
    assert all(why in message for message in found)
