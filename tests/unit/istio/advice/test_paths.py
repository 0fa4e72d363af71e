from __future__ import annotations

import pytest

from chaos.istio.lint import lint
from tests.manifests import documents


def application(name: str) -> str:
    return f"""\
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec: {{template: {{metadata: {{labels: {{app: {name}, version: v1}}}}}}}}
"""


APPLICATIONS = "".join(map(application, "abcd"))


def call(caller: str, host: str, policy: str) -> str:
    """A VirtualService for the calls of `caller`, or of anybody."""
    match = f"match: [{{sourceLabels: {{app: {caller}}}}}], " if caller else ""
    return f"""\
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {caller}-to-{host}}}
spec: {{hosts: [{host}], http: [{{{match}route: [{{destination: {{host: {host}}}}}], {policy}}}]}}
"""


def sidecar(app: str, *hosts: str) -> str:
    listed = ", ".join(f"./{host}.default.svc.cluster.local" for host in hosts)
    return f"""\
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {app}}}
spec: {{workloadSelector: {{labels: {{app: {app}}}}}, egress: [{{hosts: [{listed}]}}]}}
"""


def advice(*texts: str, code: str) -> list[tuple[str, str]]:
    found = lint(documents(APPLICATIONS + "".join(texts)))
    return [(finding.origin.rpartition("/")[2], finding.message) for finding in found if finding.code == code]


@pytest.mark.parametrize(
    ("outer", "inner", "warned"),
    [("1s", "3s", True), ("3s", "1s", False), ("1s", "1s", False)],
)
def test_a_callee_may_not_be_waited_for_longer_than_its_caller(outer: str, inner: str, warned: bool) -> None:
    found = advice(call("", "b", f"timeout: {outer}"), call("b", "c", f"timeout: {inner}"), code="CHAOS0010")
    assert [origin for origin, _ in found] == ["b-to-c"] * warned


def test_the_message_names_both_ends() -> None:
    ((_, why),) = advice(call("a", "b", "timeout: 1s"), call("b", "c", "timeout: 3s"), code="CHAOS0010")
    assert why.startswith(
        "calls to c may take 3s, but whoever makes them is itself waited for only 1s (VirtualService default/a-to-b, "
    )


def test_rules_without_a_timeout_are_passed_through() -> None:
    texts = (call("a", "b", "timeout: 1s"), call("b", "c", "name: x"), call("c", "d", "timeout: 3s"))
    assert [origin for origin, _ in advice(*texts, code="CHAOS0010")] == ["c-to-d"]


def test_strangers_are_not_compared() -> None:
    assert advice(call("", "b", "timeout: 1s"), call("", "c", "timeout: 3s"), code="CHAOS0010") == []
    assert advice(call("", "b", "timeout: 1s"), call("d", "c", "timeout: 3s"), code="CHAOS0010") == []


def test_a_sidecar_says_who_calls() -> None:
    texts = (call("", "b", "timeout: 1s"), call("", "c", "timeout: 3s"), sidecar("b", "c"))
    assert [origin for origin, _ in advice(*texts, code="CHAOS0010")] == ["-to-c"]


def test_retries_multiply() -> None:
    texts = (
        call("a", "b", "retries: {attempts: 2, retryOn: 5xx}"),
        call("b", "c", "retries: {attempts: 3, retryOn: 5xx}"),
        call("c", "d", "retries: {attempts: 1, retryOn: 5xx}"),
    )
    found = dict(advice(*texts, code="CHAOS0011"))
    assert set(found) == {"b-to-c", "c-to-d"}
    assert found["b-to-c"].startswith("one failing call can become 12 requests to c: 4 tries here for every try of")
    assert found["c-to-d"].startswith("one failing call can become 24 requests to d")


def test_calls_in_a_circle_end() -> None:
    policy = "timeout: %s, retries: {attempts: 1, retryOn: 5xx}"
    texts = (call("a", "b", policy % "1s"), call("b", "a", policy % "2s"))
    assert [origin for origin, _ in advice(*texts, code="CHAOS0010")] == ["b-to-a"]
    assert {origin for origin, _ in advice(*texts, code="CHAOS0011")} == {"a-to-b", "b-to-a"}


def test_subsets_are_other_callees() -> None:
    rule = """\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: b}
spec: {host: b, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
"""
    outer = call("", "b", "timeout: 1s").replace("{host: b}", "{host: b, subset: %s}")
    inner = call("b", "c", "timeout: 3s")
    assert len(advice(rule, outer % "v1", inner, code="CHAOS0010")) == 1
    assert advice(rule, outer % "v2", inner, code="CHAOS0010") == []
