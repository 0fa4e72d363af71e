"""What did the rules find? Collects refusals and warnings with the path they are about.

Rules call `error` and `warn` with a message, or `refuse` with what a rule of `values` said (None means fine). Istio
loses the warnings of some nested blocks on their way up; `without_warnings` does the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from chaos.istio.documents import PathInside

SCHEMA_ERROR = "IST0106"
SCHEMA_WARNING = "IST0133"


@dataclass(frozen=True, slots=True)
class Remark:
    """One refusal or warning; `code` is the one istioctl gives it."""

    code: str
    message: str
    path: PathInside


@dataclass(slots=True)
class Checker:
    errors: list[Remark] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)

    def error(self, path: PathInside, message: str) -> None:
        self.errors.append(Remark(SCHEMA_ERROR, message, path))

    def warn(self, path: PathInside, message: str, code: str = SCHEMA_WARNING) -> None:
        self.warnings.append(Remark(code, message, path))

    def refuse(self, path: PathInside, why: str | Iterable[str] | None) -> None:
        """Every reason given is an error; none, and the value is fine."""
        reasons = [why] if isinstance(why, str) else why or ()
        for reason in reasons:
            self.error(path, reason)

    def without_warnings(self) -> Checker:
        """Shares the errors; its warnings are lost."""
        return Checker(errors=self.errors)
