"""What do the findings of `lint` mean to an experiment?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chaos.istio.findings import Finding as LintFinding
from chaos.istio.findings import Level
from chaos.model.readiness import Finding, Severity

_MEANING: Final[Mapping[Level, tuple[Severity, str]]] = {
    # Broken as it is, it keeps nobody from testing anything else.
    Level.ERROR: (Severity.WARNING, "istiod would refuse it, or it does not do what it says: the policy under test is another one"),
    Level.WARNING: (Severity.WARNING, "the policy under test may not be the one that is meant"),
    Level.INFO: (Severity.INFO, "worth knowing when results are read"),
}


def of_lint(found: LintFinding) -> Finding:
    """The same, as a finding about the mesh that has such an object."""
    severity, means = _MEANING[found.level]
    remedy = f"Look at {found.file}:{found.line}" if found.file.exists() else f"Look at {found.origin}"
    path = f": {found.path}" if found.path else ""
    return Finding(
        check="lint",
        severity=severity,
        where=found.origin,
        what=f"[{found.code}]{path}: {found.message}",
        means=means,
        remedy=remedy,
    )
