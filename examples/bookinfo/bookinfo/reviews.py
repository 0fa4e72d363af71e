"""The reviews service: v1 calls nobody, v2 adds black stars and waits 10 s for them, v3 adds red ones and waits 2.5 s.

Which one this process is comes from SERVICE_VERSION; ENABLE_RATINGS and STAR_COLOR say otherwise, as in Istio's images.
v2's 10 s are the known flaw of Bookinfo: productpage, its caller, gives up after two tries of 3 s.
"""

from __future__ import annotations

import os
from typing import Any

from aiohttp import web

from bookinfo.service import CLIENT, POD_NAME, Peer, Unavailable, fetch, forwarded, run

routes = web.RouteTableDef()

STAR_COLORS = {"v2": "black", "v3": "red"}
VERSION = os.environ.get("SERVICE_VERSION", "v1")
RATINGS_ENABLED = os.environ.get("ENABLE_RATINGS", str(VERSION in STAR_COLORS)).lower() == "true"
STAR_COLOR = os.environ.get("STAR_COLOR", STAR_COLORS.get(VERSION, "black"))
RATINGS = Peer.named("ratings", timeout=10.0 if STAR_COLOR == "black" else 2.5)

REVIEWS = {
    "Reviewer1": "Two pairs of twins, and not a dull minute. I laughed until the last door had closed.",
    "Reviewer2": "Great fun on stage. Do not look for depth: the mistakes are the point.",
}


@routes.get(r"/reviews/{product:\d+}")
async def reviews(request: web.Request) -> web.Response:
    product = request.match_info["product"]
    stars = await _stars(request, int(product)) if RATINGS_ENABLED else {}
    return web.json_response(
        {
            "id": product,
            "podname": POD_NAME,
            "clustername": os.environ.get("CLUSTER_NAME", "null"),
            "reviews": [_review(reviewer, stars.get(reviewer)) for reviewer in REVIEWS],
        }
    )


@routes.get("/health")
async def health(request: web.Request) -> web.Response:
    return web.json_response({"status": "Reviews is healthy"})


async def _stars(request: web.Request, product: int) -> dict[str, int]:
    try:
        answer = await fetch(request.app[CLIENT], RATINGS, product, forwarded(request))
    except Unavailable:
        return {}
    stars: dict[str, int] = answer.get("ratings", {})
    return stars


def _review(reviewer: str, stars: int | None) -> dict[str, Any]:
    review: dict[str, Any] = {"reviewer": reviewer, "text": REVIEWS[reviewer]}
    if not RATINGS_ENABLED:
        return review
    if stars is None:
        return review | {"rating": {"error": "Ratings service is currently unavailable"}}
    return review | {"rating": {"stars": stars, "color": STAR_COLOR}}


if __name__ == "__main__":
    # Istio's reviews is a JAX-RS service: it does not notice that its client has left and waits for ratings to the end,
    # which is what loads ratings while productpage has long given up. So no handler is cancelled here.
    run(routes, handler_cancellation=False)
