"""What may who do? Every right that is used, once: `deploy/` grants exactly these, and `doctor` asks the server for each.

A right that is not `needed` is one without which less is seen or done, and what that is stands in `gives`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chaos.injection.names import STOP
from chaos.mesh.cluster import kinds
from chaos.mesh.cluster.kinds import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One verb on one resource of a namespace."""

    verb: str
    kind: Kind
    subresource: str = ""
    name: str = ""
    """Of the only object that is meant; empty: of any."""
    gives: str = ""
    """What is done with it."""
    needed: bool = True

    @property
    def resource(self) -> str:
        """As a Role names it: `pods/log`."""
        return self.kind.plural + (f"/{self.subresource}" if self.subresource else "")

    @property
    def rule(self) -> str:
        """The line to add to a Role."""
        only = f", resourceNames: [{self.name}]" if self.name else ""
        return f'{{apiGroups: ["{self.kind.group}"], resources: [{self.resource}]{only}, verbs: [{self.verb}]}}'


def _rights(verbs: str, kind: Kind, gives: str, *, subresource: str = "", name: str = "", needed: bool = True) -> Iterator[Right]:
    for verb in verbs.split():
        yield Right(verb=verb, kind=kind, subresource=subresource, name=name, gives=gives, needed=needed)


RUNNER: tuple[Right, ...] = (
    *_rights("list", kinds.POD, "who is there"),
    *_rights("list", kinds.SERVICE, "who is there"),
    *_rights("get", kinds.POD, "the lines that private paths write", subresource="log"),
    *_rights("get create", kinds.POD, "the proxies' own configuration, and load by port-forward", subresource="portforward"),
    *_rights("list create patch delete", kinds.ENVOY_FILTER, "injections, and their undo"),
    *_rights("list", kinds.SERVICE_ENTRY, "hosts outside the mesh"),
    *_rights("get list create update delete", kinds.LEASE, "one run at a time for each service"),
    *_rights("get", kinds.CONFIG_MAP, "the stop switch", name=STOP),
    *_rights("get", kinds.NAMESPACE, "whether sidecars are injected", needed=False),
    *_rights("list", kinds.VIRTUAL_SERVICE, "findings on routes", needed=False),
    *_rights("list", kinds.DESTINATION_RULE, "findings on policies", needed=False),
    *_rights("list", kinds.HTTP_ROUTE, "whether routes are the Gateway API's", needed=False),
)
"""Of who runs experiments, in each namespace under test."""

GATEWAYS: tuple[Right, ...] = (
    *_rights("list", kinds.POD, "gateways, and whether istiod is ready", needed=False),
    *_rights("get create", kinds.POD, "load by the ingress gateway", subresource="portforward", needed=False),
)
"""Of the same, where gateways and istiod stand."""

REAPER: tuple[Right, ...] = (
    *_rights("list delete", kinds.ENVOY_FILTER, "removing what is left over"),
    *_rights("get list create update delete", kinds.LEASE, "who is alive, and that the reaper is"),
)
"""Of the reaper, in each namespace it looks after."""


def told(rights: Iterable[Right]) -> str:
    """`list pods; get, create pods/portforward; ...`: those that are needed, by resource."""
    verbs: dict[str, list[str]] = {}
    for right in rights:
        if right.needed:
            verbs.setdefault(right.resource, []).append(right.verb)
    return "; ".join(f"{', '.join(each)} {resource}" for resource, each in verbs.items())
