"""The ratings service: stars per reviewer. It calls nobody; what is posted stays in memory, each replica for itself."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from bookinfo.service import run

routes = web.RouteTableDef()

MOST_STARS = 5
DEFAULT = {"Reviewer1": 5, "Reviewer2": 4}
stored: dict[int, dict[str, int]] = {}


@routes.get("/ratings/{product}")
async def ratings(request: web.Request) -> web.Response:
    return _ratings_of(_product(request))


@routes.post("/ratings/{product}")
async def rate(request: web.Request) -> web.Response:
    product = _product(request)
    try:
        given = await request.json()
    except ValueError:
        given = None
    if not _are_ratings(given):
        raise _bad_request('please provide valid ratings JSON: {"Reviewer1": 0 to 5, ...}')
    stored[product] = given
    return _ratings_of(product)


@routes.get("/health")
async def health(request: web.Request) -> web.Response:
    return web.json_response({"status": "Ratings is healthy"})


def _ratings_of(product: int) -> web.Response:
    return web.json_response({"id": product, "ratings": stored.get(product, DEFAULT)})


def _product(request: web.Request) -> int:
    product = request.match_info["product"]
    if not product.isdecimal():
        raise _bad_request("please provide numeric product ID")
    return int(product)


def _are_ratings(given: Any) -> bool:
    return isinstance(given, dict) and all(type(stars) is int and 0 <= stars <= MOST_STARS for stars in given.values())


def _bad_request(reason: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=web.json_response({"error": reason}).text, content_type="application/json")


if __name__ == "__main__":
    run(routes)
