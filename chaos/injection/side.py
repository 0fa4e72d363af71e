"""At the caller or at the callee? The side follows from fault and policy alone, and always comes with its reason.

A fault at the caller acts before the router, where the hop's own timeouts, retries, outlier detection and breakers never see
it. So where a policy of the edge would act on such a failure of the callee, the fault goes behind the router; where none would,
both sides look the same to the caller and the simpler one is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaos.envoy.policy import Failure
from chaos.errors import Refused
from chaos.injection.private_path import PrivatePath
from chaos.model.fault import Fault
from chaos.model.injection import InjectionRequest, Side


def choose(request: InjectionRequest, paths: Sequence[PrivatePath]) -> tuple[Side, str]:
    """(side, why). Raises Refused for what one side cannot do."""
    callee_only = _callee_only(request)
    if request.side is Side.CALLER:
        if callee_only:
            raise Refused(f'{request.edge}: {callee_only}; write at="callee" or at="auto"')
        return Side.CALLER, "as asked: before the caller's router, so it tests the calling application alone"
    if request.side is Side.CALLEE:
        return Side.CALLEE, "as asked: behind the caller's router, where every policy of the hop acts on it"
    if callee_only:
        return Side.CALLEE, callee_only
    for path in paths:
        reason = path.policy.acts_on(failure(request.fault, on_grpc=path.grpc))
        if reason:
            return Side.CALLEE, f"{reason}, which a fault at the caller would bypass"
    return Side.CALLER, "no policy of this edge would act on it, so the calling application alone is tested"


def failure(fault: Fault, *, on_grpc: bool) -> Failure:
    """What the caller's policy would see if the callee behaved like this."""
    return Failure(
        status=fault.abort.status if fault.abort else None,
        grpc=fault.abort.grpc if fault.abort else None,
        delay=fault.delay.duration.total_seconds() if fault.delay else None,
        throttled=fault.throttle is not None,
        on_grpc=on_grpc,
    )


def _callee_only(request: InjectionRequest) -> str:
    if request.replicas is not None:
        return f"replicas={request.replicas} means some hosts of the callee, which are chosen behind the router"
    if request.fault.throttle is not None:
        return "a throttled body is the callee's"
    return ""
