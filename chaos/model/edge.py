"""Between whom? An edge `caller -> callee` as people write it.

`"productpage -> reviews"`, `"productpage -> reviews.other-namespace"`, `"reviews:v3 -> ratings"` (one version of the
caller), `"-> productpage"` (any caller, the entry included), `"productpage -> api.partner.example"` (the host of a ServiceEntry).
Whether they exist is for the mesh to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from chaos.errors import InvalidValue

_NAME = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_HOST = rf"{_NAME}(?:\.{_NAME}){{2,}}"
_PARTY = re.compile(rf"(?P<name>{_HOST}|{_NAME})(?::(?P<version>[-A-Za-z0-9_.]+?))?(?:\.(?P<namespace>{_NAME}))?")


@dataclass(frozen=True, slots=True)
class Party:
    """A service, one end of an edge. `namespace` None means the topology's default.

    A name with two dots or more is a host: `api.partner.example`, `reviews.bookinfo.svc.cluster.local`.
    """

    name: str
    namespace: str | None = None
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> Party:
        found = _PARTY.fullmatch(text.strip())
        if not found:
            raise InvalidValue(f'"{text.strip()}" is no service: write "reviews", "reviews.other-namespace" or "reviews:v3"')
        return cls(found["name"], found["namespace"], found["version"])

    def __str__(self) -> str:
        return self.name + (f":{self.version}" if self.version else "") + (f".{self.namespace}" if self.namespace else "")


@dataclass(frozen=True, slots=True)
class Edge:
    """`caller` None is any caller, the entry included."""

    caller: Party | None
    callee: Party

    @classmethod
    def of(cls, value: str | Edge) -> Edge:
        """From text, or an edge as it is. Raises InvalidValue that shows the form."""
        if isinstance(value, Edge):
            return value
        parts = value.split("->") if isinstance(value, str) else []
        if len(parts) != 2 or not parts[1].strip():
            raise InvalidValue(f'{value!r} is no edge: write "productpage -> reviews", or "-> reviews" for any caller')
        callee = Party.parse(parts[1])
        if callee.version:
            raise InvalidValue(
                f'"{value}": an edge leads to a service, which its caller knows by name; a version can only stand at the caller. '
                f"To fault one replica of {callee.name} write inject(..., replicas=1)"
            )
        return cls(Party.parse(parts[0]) if parts[0].strip() else None, callee)

    @property
    def id(self) -> str:
        """Readable in a test id: `reviews:v3->ratings`."""
        return str(self).replace(" ", "")

    def __str__(self) -> str:
        return f"{self.caller or ''} -> {self.callee}".strip()
