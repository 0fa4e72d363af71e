from __future__ import annotations

from pathlib import Path

import pytest

from chaos.istio.documents import read_text
from chaos.istio.unsupported import unsupported

OBJECT = "apiVersion: {group}/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec:\n  {spec}"


def found(group: str, kind: str, spec: str) -> list[str]:
    return [each.path for each in unsupported(read_text(OBJECT.format(group=group, kind=kind, spec=spec), Path("m.yaml")))]


@pytest.mark.parametrize(
    ("group", "kind", "spec", "paths"),
    [
        ("security.istio.io", "AuthorizationPolicy", "action: DENY", [""]),
        ("gateway.networking.k8s.io", "HTTPRoute", "rules: []", [""]),
        ("networking.istio.io", "DestinationRule", "trafficPolicy: {tls: {mode: SIMPLE}}", ["spec.trafficPolicy.tls"]),
        (
            "networking.istio.io",
            "DestinationRule",
            "subsets: [{name: a}, {name: b, trafficPolicy: {portLevelSettings: [{port: {number: 1}, tls: {}}]}}]",
            ["spec.subsets[1].trafficPolicy.portLevelSettings[0].tls"],
        ),
        ("networking.istio.io", "DestinationRule", "trafficPolicy: {connectionPool: {}}", []),
        ("networking.istio.io", "EnvoyFilter", "configPatches: [{applyTo: BOOTSTRAP}]", ["spec.configPatches[0].applyTo"]),
        ("networking.istio.io", "EnvoyFilter", "configPatches: [{applyTo: HTTP_FILTER, match: {context: ANY}}]", []),
        ("telemetry.istio.io", "Telemetry", "tracing: [{}]", ["spec.tracing"]),
        ("networking.istio.io", "VirtualService", "hosts: [a]", []),
        ("networking.istio.io", "DestinationRule", "trafficPolicy: {proxyProtocol: {}}", ["spec.trafficPolicy.proxyProtocol"]),
        ("networking.istio.io", "VirtualService", "http: [{timeOut: 1s, retries: {}}]", ["spec.http[0].timeOut"]),
        ("networking.istio.io", "VirtualService", "http: [{per_try_timeout: 1s}]", ["spec.http[0].per_try_timeout"]),
        ("networking.istio.io", "VirtualService", "http: 5", []),
        ("apps", "Deployment", "tls: {}", []),
    ],
)
def test_what_has_no_effect(group: str, kind: str, spec: str, paths: list[str]) -> None:
    assert found(group, kind, spec) == paths


def test_a_misspelt_field_is_told_from_one_without_effect_here() -> None:
    text = OBJECT.format(group="networking.istio.io", kind="VirtualService", spec="http: [{timeOut: 1s}]")
    (each,) = unsupported(read_text(text, Path("m.yaml")))
    assert each.unknown
    assert each.reason == 'Istio has no such field; did you mean "timeout"?'


@pytest.mark.parametrize(("minor", "paths"), [(26, 3), (27, 2), (30, 2), (31, 0)])
def test_what_the_release_does_not_know_yet(minor: int, paths: int) -> None:
    policy = (
        "trafficPolicy: {retryBudget: {}, connectionPool: {http: {http2KeepAlive: {}}}, "
        "outlierDetection: {outlierDetectionHttpErrorCodes: [429]}}"
    )
    text = OBJECT.format(group="networking.istio.io", kind="DestinationRule", spec=policy)
    assert len(unsupported(read_text(text, Path("m.yaml")), minor=minor)) == paths


def test_it_says_where_and_why() -> None:
    text = OBJECT.format(group="networking.istio.io", kind="DestinationRule", spec="trafficPolicy:\n    tls: {mode: SIMPLE}")
    (each,) = unsupported(read_text(text, Path("m.yaml")))
    assert str(each) == "m.yaml:6: DestinationRule default/a: spec.trafficPolicy.tls: proxies talk in plain text here"
