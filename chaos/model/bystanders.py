"""How are everybody else's requests on an edge? What the mesh's own telemetry says of a stretch of time.

It is coarse by nature: a scraper looks every 15 s or so, and a histogram knows a time only up to the bound of its bucket. So the
figures name the scrapes they lie between, and a stretch without two scrapes has none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from chaos.model.edge import Edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Bystanders:
    """Requests on one edge that are not this run's, between two scrapes."""

    edge: Edge
    began: float = 0.0
    """Of the first scrape inside the stretch, seconds since 1970."""
    ended: float = 0.0
    """Of the last."""
    requests: int = 0
    errors: int = 0
    """Status 5xx, no status at all (the caller went away or nobody answered), or a grpc-status that says the server failed."""
    buckets: tuple[tuple[float, int], ...] = ()
    """(upper bound in seconds, requests up to it), rising; the last bound is infinite."""
    doubt: str = ""
    """Why there is no figure, with the next step; empty if there is one."""

    @property
    def error_share(self) -> float:
        """NaN without a request."""
        return self.errors / self.requests if self.requests else math.nan

    def latency(self, q: float) -> float:
        """Seconds: the bound of the bucket in which the quantile lies, so never too small. NaN without a request."""
        total = self.buckets[-1][1] if self.buckets else 0
        if not total:
            return math.nan
        rank = max(1, math.ceil(q * total - 1e-9))
        return next(bound for bound, count in self.buckets if count >= rank)
