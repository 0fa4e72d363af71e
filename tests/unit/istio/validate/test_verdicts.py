from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.istio.findings import Level
from chaos.istio.validate import UNREADABLE, examine, refusals, warnings
from chaos.istio.validate.messages import KINDS
from tests.manifests import changed, documents, istio

JSON = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 70000), st.floats(), st.text(max_size=4),
    st.sampled_from(["1s", "*", "a.b", "./*", "80", "5xx", "%", "(", "unix:///a", "HTTP", "DNS", "SIMPLE", "MUTUAL", "~"]),
    st.sampled_from([[], {}, [None], [{}], [[]], {"": ""}, {"a": None}, {"labels": {}}, {"value": 5}, ["a", "a"]]),
)  # fmt: skip
# One of each kind with most of its fields, which a test spoils.
SAMPLES: dict[str, Any] = {
    "VirtualService": {
        "hosts": ["a.com"], "gateways": ["mesh", "shop/gw"], "exportTo": ["."],
        "http": [
            {
                "match": [{"uri": {"prefix": "/"}, "headers": {"a": {"exact": "b"}}, "port": 80, "sourceLabels": {"a": "b"}}],
                "route": [{"destination": {"host": "a", "subset": "v1", "port": {"number": 80}}, "weight": 100}],
                "fault": {"delay": {"fixedDelay": "1s", "percentage": {"value": 5}}, "abort": {"httpStatus": 503}},
                "retries": {"attempts": 2, "retryOn": "5xx", "perTryTimeout": "1s"}, "timeout": "2s",
                "headers": {"request": {"add": {"a": "b"}}}, "mirrors": [{"destination": {"host": "b"}}],
                "corsPolicy": {"allowOrigins": [{"regex": "a"}], "maxAge": "1s"}, "rewrite": {"uri": "/"},
            },
            {"redirect": {"uri": "/", "redirectCode": 301}},
        ],
        "tls": [{"match": [{"sniHosts": ["a.com"]}], "route": [{"destination": {"host": "a.com"}}]}],
        "tcp": [{"match": [{"destinationSubnets": ["10.0.0.0/8"]}], "route": [{"destination": {"host": "a.com"}}]}],
    },
    "DestinationRule": {
        "host": "a",
        "trafficPolicy": {
            "connectionPool": {"tcp": {"maxConnections": 1, "tcpKeepalive": {"time": "1s"}}, "http": {"maxRetries": 1}},
            "outlierDetection": {"interval": "1s", "maxEjectionPercent": 50},
            "loadBalancer": {
                "localityLbSetting": {"distribute": [{"from": "a/*", "to": {"a/b": 50, "a/c": 50}}]},
                "consistentHash": {"httpCookie": {"name": "a", "ttl": "0s"}, "maglev": {"tableSize": 7}},
            },
            "tls": {"mode": "SIMPLE"}, "portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "DISABLE"}}],
        },
        "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
    },
    "Gateway": {
        "servers": [
            {
                "port": {"number": 443, "name": "a", "protocol": "HTTPS"}, "hosts": ["./a.com"],
                "tls": {"mode": "SIMPLE", "credentialName": "c"},
            }
        ]
    },
    "ServiceEntry": {
        "hosts": ["a.com"], "ports": [{"number": 80, "name": "a", "protocol": "TCP"}], "resolution": "STATIC",
        "addresses": ["10.0.0.0/8"], "endpoints": [{"address": "192.0.2.1", "ports": {"a": 80}, "labels": {"a": "b"}}],
    },
    "Sidecar": {
        "workloadSelector": {"labels": {"a": "b"}}, "egress": [{"port": {"number": 80, "protocol": "HTTP"}, "hosts": ["./*"]}],
        "ingress": [{"port": {"number": 80, "protocol": "HTTP"}, "defaultEndpoint": "127.0.0.1:80", "tls": {"mode": "SIMPLE"}}],
        "outboundTrafficPolicy": {"mode": "ALLOW_ANY", "egressProxy": {"host": "a", "port": {"number": 80}}},
    },
    "EnvoyFilter": {
        "configPatches": [
            {
                "applyTo": "HTTP_FILTER", "match": {"listener": {"filterChain": {"filter": {"name": "a"}}}},
                "patch": {
                    "operation": "ADD",
                    "value": {"name": "a", "typed_config": {"@type": "x/envoy.extensions.filters.http.lua.v3.Lua"}},
                },
            }
        ]
    },
    "AuthorizationPolicy": {
        "action": "DENY", "rules": [{"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}], "to": [{"operation": {"ports": ["80"]}}]}]
    },
    "Telemetry": {"tracing": [{"providers": [{"name": "a"}], "customTags": {"a": {"literal": {"value": "b"}}}}]},
    "WorkloadGroup": {"template": {"ports": {"a": 80}}, "probe": {"httpGet": {"port": 80, "scheme": "HTTP"}}},
}  # fmt: skip


def paths(value: Any, here: str = "") -> list[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inside = [path for key, inner in items for path in paths(inner, f"{here}.{key}")]
    return [*([here.lstrip(".")] if here else []), *inside]


@pytest.mark.parametrize("kind", sorted(SAMPLES))
def test_the_samples_are_fine(kind: str) -> None:
    assert examine(istio(kind, SAMPLES[kind])).spec is not None


@pytest.mark.parametrize("kind", sorted(SAMPLES))
@settings(max_examples=30)
@given(data=st.data())
def test_no_spec_makes_it_stumble(kind: str, data: st.DataObject) -> None:
    spec = changed(SAMPLES[kind], data.draw(st.sampled_from(paths(SAMPLES[kind]))), data.draw(JSON))
    verdict = examine(istio(kind, spec))
    assert all(finding.level is Level.ERROR for finding in verdict.refusals)
    assert all(finding.level is Level.WARNING for finding in verdict.warnings)
    assert (verdict.spec is None) == any(finding.code == UNREADABLE for finding in verdict.refusals)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("spec", [None, {}, [], "x", 5, True, {"": {}}, {"spec": []}], ids=repr)
def test_nor_does_what_is_no_spec_at_all(kind: str, spec: Any) -> None:
    assert all(finding.origin == f"{kind} default/it" for finding in refusals(istio(kind, spec)))


def test_findings_name_the_place() -> None:
    (document,) = documents(
        """\
        # a comment
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: ratings, namespace: shop}
        spec:
          hosts: [ratings]
          http:
          - route:
            - destination: {host: ratings}
            timeout: 0s
        """
    )
    (finding,) = refusals(document)
    assert (finding.origin, finding.path, finding.line) == ("VirtualService shop/ratings", "spec.http[0].timeout", 10)
    assert finding.code == "IST0106"
    assert str(finding).startswith("manifests.yaml:10: Error [IST0106] VirtualService shop/ratings: spec.http[0].timeout: duration")


def test_what_cannot_be_read_has_a_code_of_ours() -> None:
    (finding,) = refusals(istio("VirtualService", {"http": [{"timeout": 10}]}))
    assert finding.code == UNREADABLE
    assert finding.path == "spec.http[0].timeout"
    assert "json: cannot unmarshal number into Go value of type string" in finding.message


@pytest.mark.parametrize("spec", [None, {}])
def test_an_empty_spec_is_read(spec: Any) -> None:
    assert [finding.code for finding in refusals(istio("VirtualService", spec))] == ["IST0106"]


def test_other_kinds_are_none_of_istiods_business() -> None:
    found = documents(
        """\
        {apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: 5}}
        ---
        {apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: a}, spec: {}}
        """
    )
    assert [examine(document).spec for document in found] == [None, None]
    assert not any(refusals(document) or warnings(document) for document in found)


def test_labels_are_text() -> None:
    (finding,) = refusals(istio("Sidecar", {"egress": [{"hosts": ["./*"]}]}, labels={"a": True}))
    assert finding.path == "metadata.labels.a"


@pytest.mark.parametrize(
    ("kind", "spec", "value", "why"),
    [
        ("AuthorizationPolicy", {}, "true", ""),
        ("AuthorizationPolicy", {}, "maybe", "with invalid value (maybe)"),
        ("AuthorizationPolicy", {"action": "AUDIT"}, "true", "only supports action ALLOW/DENY, found action AUDIT"),
        ("PeerAuthentication", {}, "true", "default/it has unsupported annotation istio.io/dry-run"),
    ],
)
def test_dry_run_is_for_authorization_policies(kind: str, spec: Any, value: str, why: str) -> None:
    found = refusals(istio(kind, spec, annotations={"istio.io/dry-run": value}))
    assert [why in finding.message for finding in found] == [True] * bool(why)


def test_a_reserved_annotation_is_all_istio_speaks_of() -> None:
    (finding,) = refusals(istio("Sidecar", {}, annotations={"internal.istio.io/parents": "a"}))
    assert "this may not be set by users" in finding.message


def test_unknown_fields_are_taken() -> None:
    assert refusals(istio("Sidecar", {"egress": [{"hosts": ["./*"], "nonsense": 1}], "more": {}})) == []
