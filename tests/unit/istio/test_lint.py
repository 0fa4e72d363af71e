from __future__ import annotations

from chaos.istio.findings import Level
from chaos.istio.lint import lint
from tests.manifests import documents, istio

SERVICE = "---\n{apiVersion: v1, kind: Service, metadata: {name: reviews}, spec: {ports: [{name: http, port: 80}]}}\n"


def virtual_service(rule: str, annotations: str = "") -> str:
    return f"""\
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: a
  annotations: {{{annotations}}}
spec:
  hosts: [reviews]
  http:
  - {rule}
"""


def codes(text: str) -> list[str]:
    return [finding.code for finding in lint(documents(text))]


def test_nothing_wrong() -> None:
    assert lint([]) == []
    assert codes(SERVICE + virtual_service("route: [{destination: {host: reviews}}]")) == []


def test_all_three_sources_speak_in_the_order_of_the_file() -> None:
    text = SERVICE + virtual_service("{mirrorPercent: 5, retries: {}, route: [{destination: {host: nobody}}]}")
    assert sorted(codes(text)) == ["CHAOS0008", "IST0101", "IST0133"]
    two = virtual_service("timeout: 0s").replace("name: a", "name: b") + virtual_service("timeout: 0s")
    lines = [finding.line for finding in lint(documents(two))]
    assert lines == sorted(lines)


def test_what_is_dropped_and_what_has_no_effect_here() -> None:
    text = SERVICE + virtual_service("{timeOut: 1s, route: [{destination: {host: reviews}}]}")
    (found,) = lint(documents(text))
    assert (found.code, found.level, found.path) == ("CHAOS0012", Level.WARNING, "spec.http[0].timeOut")
    policy = {"connectionPool": {"tcp": {"maxConnections": 1}}, "proxyProtocol": {}}
    rule = istio("DestinationRule", {"host": "reviews", "trafficPolicy": policy})
    (found,) = lint([*documents(SERVICE), rule])
    assert (found.code, found.level, found.path) == ("CHAOS0013", Level.INFO, "spec.trafficPolicy.proxyProtocol")


def test_fields_that_exclude_each_other() -> None:
    abort = "fault: {abort: {httpStatus: 503, grpcStatus: UNAVAILABLE, percentage: {value: 1}}}"
    text = SERVICE + virtual_service(f"{{{abort}, route: [{{destination: {{host: reviews}}}}]}}")
    (found,) = (finding for finding in lint(documents(text)) if finding.code == "CHAOS0014")
    assert found.path == "spec.http[0].fault.abort.grpcStatus"
    assert found.message.startswith("httpStatus and grpcStatus exclude each other")


def test_what_is_refused_is_still_analyzed_but_gets_no_advice() -> None:
    text = SERVICE + virtual_service("{timeout: 0s, retries: {}, route: [{destination: {host: nobody}}]}")
    assert codes(text) == ["IST0101", "IST0106"]


def test_what_cannot_be_read_is_nothing_else() -> None:
    assert codes(SERVICE + virtual_service("{timeout: 5, retries: {}, route: [{destination: {host: nobody}}]}")) == ["CHAOS0001"]


def test_an_annotation_silences_all_but_refusals() -> None:
    rule = "{mirrorPercent: 5, timeout: %s, retries: {}, route: [{destination: {host: nobody}}]}"
    quiet = "galley.istio.io/analyze-suppress: '%s'"
    assert codes(SERVICE + virtual_service(rule % "1s", quiet % "IST0101, CHAOS0008")) == ["IST0133"]
    assert codes(SERVICE + virtual_service(rule % "0s", quiet % "*")) == ["IST0106"]


def test_a_pod_can_be_silenced_in_its_template() -> None:
    text = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  template:
    metadata: {annotations: {istio.io/unheard-of: x, galley.istio.io/analyze-suppress: %s}}
"""
    assert codes(text % "IST0101") == ["IST0108"]
    assert codes(text % "IST0108") == []


def test_the_last_of_two_objects_of_one_name_counts() -> None:
    wrong = virtual_service("{route: [{destination: {host: nobody}}]}")
    right = virtual_service("{route: [{destination: {host: reviews}}]}")
    assert codes(SERVICE + wrong + right) == []
    assert codes(SERVICE + right + wrong) == ["IST0101"]


def test_our_own_findings_are_never_errors() -> None:
    spec = {
        "hosts": ["a.com"],
        "http": [{"match": [{"uri": {"exact": "/"}}], "retries": {}, "route": [{"destination": {"host": "a.com"}}]}],
    }
    found = [finding for finding in lint([istio("VirtualService", spec)]) if finding.code.startswith("CHAOS")]
    assert {finding.code for finding in found} == {"CHAOS0008", "CHAOS0009"}
    assert all(finding.level is not Level.ERROR for finding in found)
