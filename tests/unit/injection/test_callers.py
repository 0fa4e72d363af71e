import pytest

from chaos.errors import InvalidValue, Refused
from chaos.injection.callers import check_fault, ends
from chaos.model.edge import Edge
from chaos.model.fault import abort
from chaos.model.inventory import Pod, ServicePort
from tests.unit.injection.conftest import pod, service

SERVICES = [
    service("a"),
    service("b"),
    service("far", namespace="other", host="far.other.svc.cluster.local"),
    service("api.partner.example", host="api.partner.example"),  # of a ServiceEntry
    service("partner.example", host="partner.example"),
]
PODS = [
    pod("a-v1-1", "a-v1", app="a", version="v1"),
    pod("a-v2-1", "a-v2", app="a", version="v2"),
    pod("a-v2-2", "a-v2", app="a", version="v2"),
    pod("b-1", "b"),
    pod("load", "istio-chaos-load"),
]


def found(edge: str, services: list = SERVICES, pods: list[Pod] = PODS):
    return ends(Edge.of(edge), services, pods, "shop")


def test_every_workload_behind_the_calling_service_is_a_group_of_its_own() -> None:
    groups = found("a -> b").callers

    assert [(g.workload, [p.name for p in g.pods]) for g in groups] == [("a-v1", ["a-v1-1"]), ("a-v2", ["a-v2-1", "a-v2-2"])]
    assert dict(groups[1].labels) == {"app": "a", "version": "v2"}
    assert groups[0].context == "SIDECAR_OUTBOUND"


def test_one_version_of_the_caller() -> None:
    assert [g.workload for g in found("a:v2 -> b").callers] == ["a-v2"]


def test_a_workload_without_a_service_can_be_a_caller() -> None:
    assert [g.workload for g in found("istio-chaos-load -> a").callers] == ["istio-chaos-load"]


def test_any_caller_is_every_proxy() -> None:
    assert {g.workload for g in found("-> b").callers} == {"a-v1", "a-v2", "b", "istio-chaos-load"}


@pytest.mark.parametrize(
    ("callee", "host"),
    [
        ("b.shop.svc", "b.shop.svc.cluster.local"),
        ("b.shop.svc.cluster.local", "b.shop.svc.cluster.local"),
        ("far.other", "far.other.svc.cluster.local"),
        ("api.partner.example", "api.partner.example"),
        ("partner.example", "partner.example"),
    ],
)
def test_a_callee_may_be_named_by_its_host(callee: str, host: str) -> None:
    assert found(f"a -> {callee}").callee.host == host


def test_a_gateway_needs_its_own_patch_context() -> None:
    gateway = Pod(name="gw", namespace="shop", workload="gw", labels={"istio": "gw"}, ip="10.0.0.9", gateway=True)

    assert found("gw -> a", pods=[*PODS, gateway]).callers[0].context == "GATEWAY"


@pytest.mark.parametrize(
    ("edge", "says"),
    [
        ("a -> c", 'no service "c" in namespace shop; there are: a, api.partner.example, b, partner.example'),
        ("a -> bb", 'did you mean "b"'),
        ("a -> far", 'write "far.other"'),
        ("a:v9 -> b", 'no version "v9" of a; there are: v1, v2'),
        ("nobody -> b", 'no service "nobody"'),
    ],
)
def test_who_is_not_there_is_named_with_who_is(edge: str, says: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        found(edge)

    assert says in str(refused.value)


def test_a_caller_without_sidecar_is_refused() -> None:
    bare = Pod(name="a-3", namespace="shop", workload="a-v3", labels={"app": "a"}, ip="10.0.0.7", proxy=False)

    with pytest.raises(Refused, match=r"a-3\.shop has no sidecar"):
        found("a -> b", pods=[*PODS, bare])


def test_a_port_that_carries_no_http_is_refused() -> None:
    with pytest.raises(Refused, match="9080 is TCP.*appProtocol"):
        found("a -> b", services=[service("a"), service("b", "TCP")])


def test_headless_callees_are_refused() -> None:
    with pytest.raises(Refused, match="headless"):
        found("a -> b", services=[service("a"), service("b", headless=True)])


def test_a_caller_without_pods_is_refused() -> None:
    with pytest.raises(Refused, match="has no pods"):
        found("b -> a", pods=PODS[:3])


def test_labels_that_select_strangers_are_refused() -> None:
    stranger = pod("x-1", "x", app="a", version="v1")

    with pytest.raises(Refused, match="also select"):
        found("a:v1 -> b", services=[service("a", selector={"app": "a", "tier": "1"}), service("b")], pods=[
            pod("a-v1-1", "a-v1", app="a", version="v1", tier="1"), stranger, pod("a-v1-2", "a-v1", app="a", version="v1", tier="1"),
            Pod(name="y", namespace="shop", workload="y", labels={"app": "a", "version": "v1", "tier": "1"}, ip="10.0.0.8"),
        ])  # fmt: skip


def test_a_grpc_status_needs_http2() -> None:
    with pytest.raises(Refused, match="plain 200"):
        check_fault(abort(grpc="UNAVAILABLE"), service("b"))
    check_fault(abort(grpc="UNAVAILABLE"), service("b", ports=(ServicePort(number=1, name="grpc", protocol="GRPC"),)))
    check_fault(abort(503), service("b"))
