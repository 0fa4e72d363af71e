"""The productpage service: the page and the API, put together from details, reviews and ratings.

It waits 3 s for each call, asks reviews a second time when the first try failed, and apologises for what is missing
instead of failing: the page's status is 200 all the same.
"""

from __future__ import annotations

from aiohttp import web
from multidict import CIMultiDict

from bookinfo import page
from bookinfo.service import CLIENT, Peer, Unavailable, fetch, forwarded, run

routes = web.RouteTableDef()

PATIENCE = 3.0
"""Seconds per call."""
PEERS = {name: Peer.named(name, timeout=PATIENCE) for name in ("details", "reviews", "ratings")}
TRIES = {"reviews": 2}
"""Of the application itself, next to whatever the mesh retries; once where nothing is said."""
PRODUCTS = [{"id": 0, "title": page.TITLE, "descriptionHtml": page.DESCRIPTION}]


@routes.get("/")
@routes.get("/index.html")
async def index(request: web.Request) -> web.Response:
    return web.Response(text=page.index(), content_type="text/html")


@routes.get("/productpage")
async def product_page(request: web.Request) -> web.Response:
    # One after the other, as the original does: the page takes as long as both together.
    details = await _part(request, "details", 0)
    reviews = await _part(request, "reviews", 0)
    return web.Response(text=page.product_page(details, reviews, user=_user(request)), content_type="text/html")


@routes.get("/api/v1/products")
async def products(request: web.Request) -> web.Response:
    return web.json_response(PRODUCTS)


@routes.get(r"/api/v1/products/{product:\d+}")
@routes.get(r"/api/v1/products/{product:\d+}/{part:reviews|ratings}")
async def product(request: web.Request) -> web.Response:
    status, body = await _part(request, request.match_info.get("part", "details"), int(request.match_info["product"]))
    return web.json_response(body, status=status)


@routes.post("/login")
async def login(request: web.Request) -> web.Response:
    user = str((await request.post()).get("username", ""))
    if not (user.isascii() and user.isalnum()):
        raise web.HTTPBadRequest(text="a username is made of ASCII letters and digits")
    response = web.HTTPSeeOther("/productpage")
    response.set_cookie("user", user, httponly=True)
    return response


@routes.get("/logout")
async def logout(request: web.Request) -> web.Response:
    response = web.HTTPSeeOther("/productpage")
    response.del_cookie("user")
    return response


@routes.get("/health")
async def health(request: web.Request) -> web.Response:
    return web.Response(text="Product page is healthy")


async def _part(request: web.Request, name: str, product: int) -> page.Part:
    status = 500
    for _ in range(TRIES.get(name, 1)):
        try:
            return 200, await fetch(request.app[CLIENT], PEERS[name], product, _headers(request))
        except Unavailable as error:
            status = error.status
    return status, {"error": f"Sorry, product {name} are currently unavailable for this book."}


def _headers(request: web.Request) -> CIMultiDict[str]:
    headers = forwarded(request)
    if user := _user(request):
        headers["end-user"] = user  # who signed in by cookie is routed by this header from here on
    return headers


def _user(request: web.Request) -> str:
    return request.headers.get("end-user") or request.cookies.get("user", "")


if __name__ == "__main__":
    # A visitor who leaves ends the work for the page, calls to other services included.
    run(routes, handler_cancellation=True)
