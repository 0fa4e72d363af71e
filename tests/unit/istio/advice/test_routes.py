from __future__ import annotations

import pytest

from chaos.istio.findings import Level
from chaos.istio.lint import lint
from tests.manifests import documents

SERVICES = """\
apiVersion: v1
kind: Service
metadata: {name: ratings}
spec: {ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: stock}
spec: {ports: [{name: grpc, port: 50051}, {name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: sniffed}
spec: {ports: [{name: web, port: 80}]}
---
"""


def advice(rules: str, more: str = "", hosts: str = "[ratings]") -> list[tuple[str, str]]:
    text = f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: a}}
spec: {{hosts: {hosts}, http: [{rules}]{more}}}
"""
    found = [finding for finding in lint(documents(SERVICES + text)) if finding.code.startswith("CHAOS")]
    assert all(finding.level is Level.WARNING for finding in found)
    return [(finding.code, finding.path.removeprefix("spec.http")) for finding in found]


def rule(text: str, host: str = "ratings", port: str = "") -> str:
    return f"{{{text}, route: [{{destination: {{host: {host}{port}}}}}]}}"


DELAY = "delay: {fixedDelay: 2s, percentage: {value: 100}}"
ABORT = "abort: {httpStatus: 503, percentage: {value: 100}}"


@pytest.mark.parametrize(
    ("text", "code", "at"),
    [
        (f"fault: {{{DELAY}}}", "", ""),
        (f"fault: {{{DELAY}}}, timeout: 1s", "CHAOS0002", "[0].fault.delay.fixedDelay"),
        (f"fault: {{{DELAY}}}, retries: {{attempts: 2, retryOn: 5xx}}", "", ""),
        (
            f"fault: {{{DELAY}}}, retries: {{attempts: 2, retryOn: 5xx, perTryTimeout: 1s}}",
            "CHAOS0002",
            "[0].fault.delay.fixedDelay",
        ),
        (f"fault: {{{ABORT}}}, timeout: 1s", "", ""),
        (f"fault: {{{ABORT}}}, retries: {{attempts: 2, retryOn: 5xx}}", "CHAOS0002", "[0].fault.abort"),
        (f"fault: {{{ABORT}}}, retries: {{attempts: 0}}", "", ""),
        ("fault: {delay: {fixedDelay: 2s}}", "CHAOS0003", "[0].fault.delay"),
        ("fault: {delay: {fixedDelay: 2s, percent: 5}}", "", ""),
        ("fault: {delay: {fixedDelay: 2s, percentage: {value: 0}}}", "", ""),
        ("fault: {abort: {httpStatus: 503}}", "CHAOS0003", "[0].fault.abort"),
        ("timeout: 1s, retries: {attempts: 2, retryOn: 5xx, perTryTimeout: 400ms}", "CHAOS0005", "[0].retries.perTryTimeout"),
        ("timeout: 1s, retries: {attempts: 1, retryOn: 5xx, perTryTimeout: 500ms}", "", ""),
        ("retries: {attempts: 2, retryOn: 5xx, perTryTimeout: 400ms}", "", ""),
        ("retries: {attempts: 2, perTryTimeout: 1s}", "CHAOS0006", "[0].retries.perTryTimeout"),
        ("retries: {attempts: 2, perTryTimeout: 1s, retryOn: '503,unavailable'}", "CHAOS0006", "[0].retries.perTryTimeout"),
        ("retries: {attempts: 2, perTryTimeout: 1s, retryOn: 'connect-failure,reset'}", "", ""),
        ("retries: {attempts: 2, perTryTimeout: 1s, retryOn: gateway-error}", "", ""),
        ("retries: {}", "CHAOS0008", "[0].retries"),
        ("retries: {attempts: 0}", "", ""),
    ],
)
def test_one_rule(text: str, code: str, at: str) -> None:
    assert advice(rule(text)) == ([(code, at)] if code else [])


@pytest.mark.parametrize(
    ("host", "port", "warned"),
    [
        ("ratings", "", True),
        ("ratings.default.svc.cluster.local", "", True),
        ("stock", ", port: {number: 50051}", False),
        ("stock", ", port: {number: 80}", True),
        ("stock", "", False),
        ("sniffed", "", False),
        ("nobody", "", False),
    ],
)
def test_grpc_statuses_are_for_grpc(host: str, port: str, warned: bool) -> None:
    fault = "fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}"
    assert advice(rule(fault, host, port)) == ([("CHAOS0004", "[0].fault.abort.grpcStatus")] if warned else [])


@pytest.mark.parametrize(
    ("match", "more", "warned"),
    [
        ("{uri: {prefix: /api}}", "", True),
        ("{headers: {a: {exact: b}}}", "", True),
        ("{uri: {prefix: /}}", "", False),
        ("{uri: {regex: '.*'}}", "", False),
        ("{sourceLabels: {app: a}}", "", False),
        ("{port: 80}", "", False),
        ("{uri: {prefix: /, }, method: {exact: GET}}", "", True),
        ("{uri: {prefix: /api}}", ", gateways: [gw]", False),
        ("{uri: {prefix: /api}}", ", gateways: [gw, mesh]", True),
    ],
)
def test_requests_that_fit_no_rule(match: str, more: str, warned: bool) -> None:
    assert advice(rule(f"match: [{match}]"), more) == ([("CHAOS0009", "")] if warned else [])
    assert advice(rule(f"match: [{match}]") + ", " + rule("name: rest"), more) == []


def test_delegates_need_no_last_rule() -> None:
    assert advice(rule("match: [{uri: {prefix: /api}}]"), hosts="[]") == []


def test_what_istiod_refuses_gets_no_advice() -> None:
    assert advice(rule("retries: {}, timeout: 0s")) == []
