"""Can experiments be run and proven here? One value for every answer: what is so, where, what that means, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Error: no experiment can be run or proven. Warning: some cannot. Info: worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about a mesh that an experiment would stumble over."""

    severity: Severity
    where: str
    """`pod/web-1.shop`, `service/store.shop:7000`, `namespace/shop`."""
    what: str
    means: str
    """For an experiment."""
    remedy: str
    check: str = ""
    """The question it answers; filled in by who asks."""

    def as_json(self) -> dict[str, str]:
        """As `istio-chaos doctor -o json` prints it."""
        return {
            "check": self.check,
            "severity": self.severity.value,
            "where": self.where,
            "what": self.what,
            "means": self.means,
            "remedy": self.remedy,
        }

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.means}. {self.remedy}"


def error(where: str, what: str, *, means: str, remedy: str) -> Finding:
    return Finding(severity=Severity.ERROR, where=where, what=what, means=means, remedy=remedy)


def warning(where: str, what: str, *, means: str, remedy: str) -> Finding:
    return Finding(severity=Severity.WARNING, where=where, what=what, means=means, remedy=remedy)


def info(where: str, what: str, *, means: str, remedy: str) -> Finding:
    return Finding(severity=Severity.INFO, where=where, what=what, means=means, remedy=remedy)
