"""Which rule is in force, and which policy it gives: the lookup, the merge, the levels."""

from __future__ import annotations

import json

import pytest

from chaos.istio.destinationrules import NO_POLICY, policy_for, rule_for

SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: pay}
spec: {selector: {app: payments}, ports: [{name: http, port: 8080}, {name: http-admin, port: 9901}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web, tier: front}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: batch, namespace: shop, labels: {app: batch}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: payments, namespace: pay, labels: {app: payments}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ledger, namespace: books, labels: {app: ledger}}
spec: {containers: [{name: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: gateway, namespace: istio-system, labels: {istio: ingressgateway}}
spec: {containers: [{name: istio-proxy, image: auto}]}
"""
HOST = "payments.pay.svc.cluster.local"


def rule(name, namespace, connections, host=HOST, **spec):
    """A rule that is recognised by its limit of connections; None leaves it without a policy."""
    policy = {} if connections is None else {"trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": connections}}}}
    created = spec.pop("created", None)
    metadata = {"name": name, "namespace": namespace} | ({"creationTimestamp": created} if created else {})
    full = {"host": host, **policy, **spec}
    return {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": metadata, "spec": full}


def text(*documents):
    return "\n---\n".join(map(json.dumps, documents))


def connections(world, proxy, **asked):
    """The limit of the rule in force for `proxy`; None where there is none."""
    found = rule_for(world, world.proxy(proxy), HOST, **asked)
    pool = policy_for(found, 8080).connection_pool
    return pool["tcp"]["maxConnections"] if pool else None


@pytest.mark.parametrize(
    ("rules", "seen"),
    [
        pytest.param([], {"web.shop": None}, id="no rule"),
        pytest.param(
            [rule("a", "shop", 1), rule("b", "pay", 2), rule("c", "istio-system", 3)],
            {"web.shop": 1, "payments.pay": 2, "ledger.books": 2},
            id="client, then service, then root namespace",
        ),
        pytest.param([rule("c", "istio-system", 3)], {"web.shop": 3, "payments.pay": 3}, id="the root namespace serves all"),
        pytest.param([rule("d", "books", 4)], {"web.shop": None, "ledger.books": 4}, id="a third namespace never applies"),
        pytest.param(
            [rule("wide", "shop", 1, host="*.cluster.local"), rule("exact", "pay", 2)],
            {"web.shop": 1, "ledger.books": 2},
            id="a wildcard of the client beats the owner's exact rule",
        ),
        pytest.param(
            [rule("wide", "pay", 1, host="*.local"), rule("narrow", "pay", 2, host="*.pay.svc.cluster.local")],
            {"web.shop": 2},
            id="the longest wildcard",
        ),
        pytest.param([rule("everything", "pay", 1, host="*")], {"web.shop": 1}, id="the star alone"),
        pytest.param([rule("short", "pay", 1, host="payments")], {"web.shop": 1}, id="a short name of its own namespace"),
        pytest.param([rule("short", "shop", 1, host="payments")], {"web.shop": None}, id="a short name means the own namespace"),
        pytest.param(
            [rule("dotted", "shop", 1, host="payments.pay")], {"web.shop": None}, id="a name with a dot is taken as it is"
        ),
        pytest.param(
            [rule("named", "pay", 1, exportTo=["shop"])],
            {"web.shop": 1, "ledger.books": None, "payments.pay": None},
            id="exportTo names one namespace, and not the own one",
        ),
        pytest.param([rule("private", "pay", 1, exportTo=["."])], {"web.shop": None, "payments.pay": 1}, id="private"),
        pytest.param(
            [rule("mesh-wide", "istio-system", 3), rule("owner", "pay", 2)],
            {"gateway.istio-system": 2},
            id="a gateway in the root namespace prefers the owner's rule",
        ),
        pytest.param(
            [rule("for-gateways", "istio-system", 3, exportTo=["."]), rule("owner", "pay", 2)],
            {"gateway.istio-system": 3, "web.shop": 2},
            id="but a private rule of the root namespace is meant for it",
        ),
    ],
)
def test_lookup(world_of, rules, seen):
    world = world_of(SERVICES, text(*rules)) if rules else world_of(SERVICES)

    assert {proxy: connections(world, proxy) for proxy in seen} == seen


def test_private_by_default(world_of):
    world = world_of(SERVICES, text(rule("a", "pay", 1)), mesh={"defaultDestinationRuleExportTo": ["."]})

    assert connections(world, "web.shop") is None
    assert connections(world, "payments.pay") == 1


def test_a_host_outside_the_scope_has_no_rule(world_of):
    hidden = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec: {egress: [{hosts: ["./*"]}]}
"""
    world = world_of(SERVICES, text(rule("a", "shop", 1)), hidden)

    assert rule_for(world, world.proxy("web.shop"), HOST) is None


V1, V2, OTHER_V1 = (
    {"name": "v1", "labels": {"version": "v1"}},
    {"name": "v2", "labels": {"version": "v2"}},
    {"name": "v1", "labels": {"version": "other"}},
)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param(
            [rule("a", "pay", None, subsets=[V1]), rule("b", "pay", 2, subsets=[V2])],
            (2, [V1, V2]),
            id="subsets add up, the policy comes from the first that has one",
        ),
        pytest.param(
            [rule("a", "pay", 1, subsets=[V1]), rule("b", "pay", 2, subsets=[OTHER_V1, V2])],
            (1, [V1, V2]),
            id="of equal names the first",
        ),
        pytest.param(
            [rule("a", "pay", 1, created="2024-02-01T00:00:00Z"), rule("b", "pay", 2, created="2024-01-01T00:00:00Z")],
            (2, []),
            id="the older first",
        ),
        pytest.param(
            [rule("a", "pay", 1, subsets=[V1], exportTo=["*"]), rule("b", "pay", 2, subsets=[V2], exportTo=["shop"])],
            (2, [V2]),
            id="different audiences do not merge, the last one counts",
        ),
        pytest.param(
            [rule("a", "pay", 1, subsets=[V1], exportTo=["shop"]), rule("b", "pay", 2, subsets=[V2], exportTo=["shop", "books"])],
            (1, [V1, V2]),
            id="a wider audience merges into a narrower one",
        ),
    ],
)
def test_merge(world_of, rules, expected):
    world = world_of(SERVICES, text(*rules))
    found = rule_for(world, world.proxy("web.shop"), HOST)

    assert (connections(world, "web.shop"), list(found.subsets)) == expected


class TestWorkloadSelector:
    FOR_WEB = rule("for-web", "shop", 1, workloadSelector={"matchLabels": {"app": "web"}})

    def test_it_wins_for_whom_it_selects(self, world_of):
        world = world_of(SERVICES, text(rule("all", "shop", 9, subsets=[V1]), self.FOR_WEB))

        assert connections(world, "web.shop") == 1
        assert connections(world, "batch.shop") == 9

    def test_the_general_subsets_are_lost(self, world_of):
        world = world_of(SERVICES, text(rule("all", "shop", 9, subsets=[V1]), self.FOR_WEB))

        assert rule_for(world, world.proxy("web.shop"), HOST).subsets == ()
        assert rule_for(world, world.proxy("batch.shop"), HOST).subsets == (V1,)

    def test_an_equally_private_rule_ends_up_in_it_alone(self, world_of):
        world = world_of(SERVICES, text(rule("all", "shop", 9, subsets=[V1], exportTo=["."]), self.FOR_WEB))

        assert rule_for(world, world.proxy("web.shop"), HOST).subsets == (V1,)
        assert connections(world, "batch.shop") is None

    def test_two_selectors_stand_side_by_side(self, world_of):
        for_front = rule("for-batch", "shop", 2, workloadSelector={"matchLabels": {"app": "batch"}})
        world = world_of(SERVICES, text(self.FOR_WEB, for_front))

        assert [connections(world, proxy) for proxy in ("web.shop", "batch.shop")] == [1, 2]

    def test_never_of_another_namespace(self, world_of):
        anyone = rule("all", "pay", 1, workloadSelector={"matchLabels": {}}, exportTo=["*"])
        world = world_of(SERVICES, text(anyone))

        assert connections(world, "web.shop") is None

    def test_never_inbound(self, world_of):
        own = rule("own", "pay", 1, workloadSelector={"matchLabels": {"app": "payments"}})
        world = world_of(SERVICES, text(own))

        assert connections(world, "payments.pay") == 1
        assert connections(world, "payments.pay", inbound=True) is None


POOL, OTHER_POOL = {"tcp": {"maxConnections": 1}}, {"tcp": {"maxConnections": 2}}
OUTLIERS, BALANCER, BUDGET, PROXY_PROTOCOL = {"interval": "1s"}, {"simple": "RANDOM"}, {"percent": 10}, {"version": "V2"}
ALL = {
    "connectionPool": POOL,
    "outlierDetection": OUTLIERS,
    "loadBalancer": BALANCER,
    "tls": {"mode": "DISABLE"},
    "retryBudget": BUDGET,
    "proxyProtocol": PROXY_PROTOCOL,
}
NAMES = ("connection_pool", "outlier_detection", "load_balancer", "tls", "retry_budget", "proxy_protocol")


@pytest.mark.parametrize(
    ("top", "subset", "port", "expected"),
    [
        pytest.param(ALL, None, 8080, dict(zip(NAMES, ALL.values(), strict=True)), id="the top level"),
        pytest.param(
            ALL | {"portLevelSettings": [{"port": {"number": 8080}, "connectionPool": OTHER_POOL}]},
            None,
            8080,
            {"connection_pool": OTHER_POOL},
            id="a port entry replaces everything",
        ),
        pytest.param(
            ALL | {"portLevelSettings": [{"port": {"number": 8080}, "connectionPool": OTHER_POOL}]},
            None,
            9901,
            dict(zip(NAMES, ALL.values(), strict=True)),
            id="on its own port only",
        ),
        pytest.param(
            {"connectionPool": POOL, "outlierDetection": OUTLIERS},
            {"connectionPool": OTHER_POOL},
            8080,
            {"connection_pool": OTHER_POOL, "outlier_detection": OUTLIERS},
            id="a subset overrides block by block",
        ),
        pytest.param(
            ALL | {"portLevelSettings": [{"port": {"number": 8080}, "connectionPool": OTHER_POOL}]},
            {"loadBalancer": BALANCER},
            8080,
            {"connection_pool": OTHER_POOL, "load_balancer": BALANCER},
            id="a subset inherits from the rule's port entry",
        ),
        pytest.param(
            ALL,
            {"portLevelSettings": [{"port": {"number": 8080}, "connectionPool": OTHER_POOL}]},
            8080,
            {"connection_pool": OTHER_POOL, "retry_budget": BUDGET, "proxy_protocol": PROXY_PROTOCOL},
            id="a subset's port entry wipes four blocks and keeps the others",
        ),
        pytest.param(None, {"connectionPool": POOL}, 8080, {"connection_pool": POOL}, id="only the subset has a policy"),
        pytest.param(
            {"connectionPool": POOL}, {"connectionPool": {}}, 8080, {"connection_pool": {}}, id="an empty block counts as written"
        ),
    ],
)
def test_levels(world_of, top, subset, port, expected):
    named = {"name": "v1", "labels": {"version": "v1"}} | ({"trafficPolicy": subset} if subset else {})
    whole = rule("a", "pay", None, subsets=[named]) if top is None else rule("a", "pay", None, subsets=[named], trafficPolicy=top)
    world = world_of(SERVICES, text(whole))
    found = rule_for(world, world.proxy("web.shop"), HOST).policy(port, "v1" if subset else "")

    assert {name: getattr(found, name) for name in NAMES if getattr(found, name) is not None} == expected


def test_an_unknown_subset_has_the_policy_of_the_host(world_of):
    world = world_of(SERVICES, text(rule("a", "pay", 7, subsets=[V1])))

    assert rule_for(world, world.proxy("web.shop"), HOST).policy(8080, "v9").connection_pool == {"tcp": {"maxConnections": 7}}


def test_no_rule_is_no_policy():
    assert policy_for(None, 80) == NO_POLICY
