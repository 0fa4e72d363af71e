"""What only a cluster can be asked. The client is stood in for by what it answers; the proxies by their admin interface's answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from chaos.errors import Forbidden, NotFound, Unreachable
from chaos.mesh.cluster import kinds
from chaos.mesh.cluster.kinds import Kind
from chaos.mesh.cluster.proxies import Proxy
from chaos.mesh.cluster.readiness import CHECKS, OF_PROXIES, Look, examine
from chaos.mesh.cluster.rights import RUNNER
from chaos.model.inventory import Pod
from chaos.model.readiness import Finding, Severity

Json = dict[str, Any]


class Answers:
    """A client of a cluster in order, until a test changes something."""

    context = "staging"
    server = "https://10.3.0.1"

    def __init__(self) -> None:
        self.served = {kinds.ENVOY_FILTER, kinds.SERVICE_ENTRY}
        self.denied: set[tuple[str, str, str]] = set()
        """(namespace, verb, resource)"""
        self.asked: list[tuple[str, str, str, str]] = []
        self.labels: Json = {"istio-injection": "enabled"}
        self.objects: dict[tuple[str, str], list[Json]] = {
            ("shop", "Pod"): [pod("web-1"), pod("store-1")],
            ("istio-system", "Pod"): [istiod()],
        }
        self.forbidden: set[tuple[str, str]] = set()

    def version(self) -> str:
        return "v1.31.2"

    def serves(self, kind: Kind) -> bool:
        return kind in self.served

    def may(self, verb: str, kind: Kind, namespace: str, *, subresource: str = "", name: str = "") -> bool:
        resource = kind.plural + (f"/{subresource}" if subresource else "")
        self.asked.append((namespace, verb, resource, name))
        return (namespace, verb, resource) not in self.denied

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Json:
        assert kind is kinds.NAMESPACE
        if name == "gone":
            raise NotFound(f"no namespace {name}")
        return {"metadata": {"name": name, "labels": self.labels}}

    def items(self, kind: Kind, namespace: str, *, labels: str = "") -> list[Json]:
        if (namespace, kind.name) in self.forbidden:
            raise Forbidden("you may not")
        found = self.objects.get((namespace, kind.name), [])
        return [o for o in found if not labels or labels == f"app={o['metadata']['labels'].get('app')}"]


def pod(name: str, *, image: str = "docker.io/istio/proxyv2:1.29.6", ready: bool = True, **annotations: str) -> Json:
    app = name.partition("-")[0]
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": app, "version": "v1"}, "annotations": annotations},
        "spec": {"containers": [{"name": "app"}, {"name": "istio-proxy", "image": image}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [{"name": "istio-proxy", "ready": ready}]},
    }


def istiod(*, ready: bool = True) -> Json:
    return {
        "metadata": {"name": "istiod-1", "namespace": "istio-system", "labels": {"app": "istiod"}},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


@pytest.fixture
def answers() -> Answers:
    return Answers()


def found(answers: Answers, check: str, **options: Any) -> list[Finding]:
    look = Look(answers, ["shop"], ["istio-system", "shop"], **options)  # type: ignore[arg-type]
    return list(examine(look, {check: {**CHECKS, **OF_PROXIES}[check]}))


def test_a_cluster_in_order_has_no_findings(answers: Answers) -> None:
    look = Look(answers, ["shop"], ["istio-system"])  # type: ignore[arg-type]

    assert list(examine(look)) == []
    assert [(right.verb, right.resource, right.name) for right in RUNNER] == [a[1:] for a in answers.asked if a[0] == "shop"]


def test_kinds_that_the_server_does_not_know(answers: Answers) -> None:
    answers.served = set()

    assert [(f.severity, f.what) for f in found(answers, "kinds")] == [
        (Severity.ERROR, "knows no EnvoyFilter (networking.istio.io/v1alpha3)"),
        (Severity.ERROR, "knows no ServiceEntry (networking.istio.io/v1alpha3)"),
    ]


def test_a_right_that_is_missing_is_named_with_its_rule(answers: Answers) -> None:
    answers.denied = {("shop", "delete", "envoyfilters"), ("shop", "get", "configmaps"), ("shop", "list", "virtualservices")}
    delete, stop, routes = found(answers, "rights")

    assert (delete.severity, delete.what) == (Severity.ERROR, "we may not delete envoyfilters")
    assert '{apiGroups: ["networking.istio.io"], resources: [envoyfilters], verbs: [delete]}' in delete.remedy
    assert "deploy/namespace" in delete.remedy
    assert (stop.severity, stop.what) == (Severity.ERROR, "we may not get configmaps istio-chaos-stop")
    assert (routes.severity, routes.means) == (Severity.WARNING, "without it there is not: findings on routes")


def test_who_may_exec_needs_no_port_forward(answers: Answers) -> None:
    answers.denied = {("shop", "get", "pods/portforward"), ("shop", "create", "pods/portforward")}
    assert found(answers, "rights") == []

    answers.denied |= {("shop", "create", "pods/exec")}
    assert [f.severity for f in found(answers, "rights")] == [Severity.ERROR, Severity.ERROR]


@pytest.mark.parametrize(("by_gateway", "severity"), [(True, Severity.WARNING), (False, Severity.INFO)])
def test_rights_at_gateways_matter_where_load_enters_by_one(answers: Answers, by_gateway: bool, severity: Severity) -> None:
    answers.denied = {("istio-system", "list", "pods")}

    (missing,) = found(answers, "rights", by_gateway=by_gateway)
    assert missing.severity is severity
    assert "deploy/gateways" in missing.remedy


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"istio-injection": "enabled"}, ""),
        ({"istio.io/rev": "canary"}, ""),
        ({}, "does not ask for sidecars"),
        ({"istio-injection": "disabled"}, "does not ask for sidecars"),
        ({"istio.io/dataplane-mode": "ambient"}, "is in ambient mode (istio.io/dataplane-mode=ambient)"),
    ],
)
def test_what_a_namespace_asks_for(answers: Answers, labels: Mapping[str, str], said: str) -> None:
    answers.labels = dict(labels)

    assert [f.what for f in found(answers, "injection")] == ([said] if said else [])


def test_a_namespace_that_is_not_there(answers: Answers) -> None:
    (gone,) = examine(Look(answers, ["gone"]), {"injection": CHECKS["injection"]})  # type: ignore[arg-type]

    assert (gone.severity, gone.where) == (Severity.ERROR, "namespace/gone")


def test_sidecars_that_do_not_serve_and_pods_in_ambient_mode(answers: Answers) -> None:
    captured = pod("b-1", **{"ambient.istio.io/redirection": "enabled"})
    over = {**pod("c-1", ready=False), "status": {"phase": "Succeeded"}}
    answers.objects["shop", "Pod"] = [pod("a-1", ready=False), captured, over]

    assert [(f.where, f.what) for f in found(answers, "proxies")] == [
        ("pod/a-1.shop", "its sidecar is not ready"),
        ("pod/b-1.shop", "is in ambient mode"),
    ]


def test_a_control_plane_that_does_not_serve_is_an_error(answers: Answers) -> None:
    answers.objects["istio-system", "Pod"] = [istiod(ready=False)]
    assert [f.severity for f in found(answers, "control-plane")] == [Severity.ERROR]

    answers.objects["istio-system", "Pod"].append(istiod())
    assert found(answers, "control-plane") == []

    answers.objects["istio-system", "Pod"] = []
    assert [f.severity for f in found(answers, "control-plane")] == [Severity.INFO]

    answers.forbidden = {("istio-system", "Pod")}
    assert [f.what for f in found(answers, "control-plane")] == ["we may not look at istiod"]


def test_sidecars_that_are_too_old_or_of_several_versions(answers: Answers) -> None:
    old = "docker.io/istio/proxyv2:1.22.3-distroless"
    answers.objects["shop", "Pod"] = [pod("a-1", image=old), pod("b-1")]
    too_old, several = found(answers, "versions")

    assert (too_old.severity, too_old.where) == (Severity.WARNING, "pod/a-1.shop")
    assert several.what == "sidecars are of several versions: 1.22.3-distroless (1 pods), 1.29.6 (1 pods)"


def test_routes_of_the_gateway_api_inside_the_mesh(answers: Answers) -> None:
    answers.served |= {kinds.HTTP_ROUTE}
    answers.objects["shop", "HTTPRoute"] = [
        {"metadata": {"name": "inside"}, "spec": {"parentRefs": [{"kind": "Service", "name": "store"}]}},
        {"metadata": {"name": "outside"}, "spec": {"parentRefs": [{"name": "gateway"}]}},
    ]

    assert [f.where for f in found(answers, "gateway-api")] == ["httproute/inside.shop"]


def test_our_own_advice_on_routes_is_among_the_findings(answers: Answers) -> None:
    answers.objects["shop", "VirtualService"] = [
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "store", "namespace": "shop"},
            "spec": {
                "hosts": ["store"],
                "http": [
                    {
                        "timeout": "2s",
                        "retries": {"attempts": 3, "perTryTimeout": "1s"},
                        "route": [{"destination": {"host": "store"}}],
                    }
                ],
            },
        }
    ]

    said = found(answers, "lint")
    assert any("[CHAOS0005]" in f.what for f in said)
    assert {f.where for f in said} == {"VirtualService shop/store"}


class Admin(Proxy):
    """One proxy whose admin interface shows this bootstrap."""

    def __init__(self, bootstrap: Json) -> None:
        self.bootstrap = bootstrap

    def ask(self, path: str, method: str = "GET") -> bytes:
        if not self.bootstrap:
            raise Unreachable("it does not answer")
        part = path.rpartition(".")[2]
        return json.dumps({"configs": [{"bootstrap": {part: self.bootstrap[part]} if part in self.bootstrap else {}}]}).encode()

    def close(self) -> None:
        pass


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, Json]], None]:
    def stand(by_pod: Mapping[str, Json]) -> None:
        monkeypatch.setattr(Look, "proxy_of", lambda _, pod: Admin(by_pod[pod.name]))

    return stand


ISTIO = {"bootstrap_extensions": [{"name": "envoy.bootstrap.internal_listener"}], "stats_config": {}}


def test_proxies_started_without_internal_listeners(answers: Answers, proxies: Callable[[Mapping[str, Json]], None]) -> None:
    proxies({"web-1": ISTIO, "store-1": {"bootstrap_extensions": []}})

    (without,) = found(answers, "internal-listeners")
    assert (without.severity, without.where) == (Severity.WARNING, "pod/store-1.shop")


def test_who_does_not_answer_is_not_ready_and_nothing_else(answers: Answers, proxies: Callable[[Mapping[str, Json]], None]) -> None:
    proxies({"web-1": ISTIO, "store-1": {}})

    assert found(answers, "internal-listeners") == []


def test_statistics_that_are_pruned_are_told_once(answers: Answers, proxies: Callable[[Mapping[str, Json]], None]) -> None:
    pruned = {"stats_config": {"stats_matcher": {"inclusion_list": {"patterns": [{"prefix": "cluster_manager"}]}}}}
    proxies({"web-1": pruned, "store-1": pruned})

    (told,) = found(answers, "statistics")
    assert told.severity is Severity.INFO
    assert "and so do 1 other workloads" in told.what


def test_one_pod_of_each_workload_is_asked(answers: Answers) -> None:
    owner = {"ownerReferences": [{"kind": "ReplicaSet", "name": "web-5f", "controller": True}]}
    listed = [pod("web-1"), pod("web-2"), pod("store-1")]
    for each in listed[:2]:
        each["metadata"] |= owner
    answers.objects["shop", "Pod"] = listed

    chosen: list[Pod] = Look(answers, ["shop"]).one_of_each()  # type: ignore[arg-type]
    assert sorted(p.workload for p in chosen) == ["store-1", "web-5f"]


def test_a_question_that_is_not_answered_is_a_finding(answers: Answers) -> None:
    answers.forbidden = {("shop", "Pod")}

    (finding,) = found(answers, "proxies")
    assert (finding.check, finding.severity, finding.what) == ("proxies", Severity.WARNING, "could not be asked: you may not")
