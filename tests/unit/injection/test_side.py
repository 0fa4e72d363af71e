import pytest

from chaos.errors import Refused
from chaos.injection.side import choose
from chaos.model.edge import Edge
from chaos.model.fault import Fault, abort, delay, throttle
from chaos.model.injection import InjectionRequest, Side
from tests.unit.injection.conftest import cluster, configuration, path_in, route

RETRY_5XX = route(retry_policy={"retry_on": "5xx", "num_retries": 2})
DEFAULT = route(
    retry_policy={"retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes", "num_retries": 2}
)
OUTLIER = cluster(outlier_detection={"consecutive_5xx": 5})


def asked(fault: Fault, side: Side | None = None, replicas: int | None = None) -> InjectionRequest:
    return InjectionRequest(fault=fault, edge=Edge.of("a -> b"), side=side, replicas=replicas)


@pytest.mark.parametrize(
    ("fault", "seen", "side", "says"),
    [
        (abort(503), configuration(RETRY_5XX), Side.CALLEE, "the mesh retries"),
        (abort(404), configuration(RETRY_5XX), Side.CALLER, "no policy of this edge"),
        (abort(503), configuration(DEFAULT), Side.CALLER, "no policy of this edge"),
        (abort(500), configuration(clusters=(OUTLIER,)), Side.CALLEE, "outlier detection"),
        (abort(404), configuration(clusters=(OUTLIER,)), Side.CALLER, "no policy of this edge"),
        (delay("2s"), configuration(route(timeout="1s")), Side.CALLEE, "times out"),
        (delay("500ms"), configuration(route(timeout="1s")), Side.CALLER, "no policy of this edge"),
        (delay("2s"), configuration(route(timeout="0s")), Side.CALLER, "no policy of this edge"),
        (throttle("64KiB/s"), configuration(), Side.CALLEE, "the callee's"),
    ],
)
def test_the_side_follows_from_fault_and_policy(fault: Fault, seen: object, side: Side, says: str) -> None:
    chosen, reason = choose(asked(fault), [path_in(seen)])

    assert (chosen, says in reason) == (side, True), reason


def test_some_replicas_are_chosen_behind_the_router() -> None:
    assert choose(asked(abort(404), replicas=1), [path_in(configuration())])[0] is Side.CALLEE


def test_what_the_author_says_is_done() -> None:
    path = path_in(configuration(RETRY_5XX))

    assert choose(asked(abort(503), Side.CALLER), [path])[0] is Side.CALLER
    assert choose(asked(abort(404), Side.CALLEE), [path])[0] is Side.CALLEE


@pytest.mark.parametrize(
    "request_", [asked(throttle("64KiB/s"), Side.CALLER), asked(abort(503), Side.CALLER, replicas=1)], ids=["throttle", "replicas"]
)
def test_what_only_the_callee_can_do_is_refused_at_the_caller(request_: InjectionRequest) -> None:
    with pytest.raises(Refused, match='at="callee"'):
        choose(request_, [path_in(configuration())])
