"""The details service: facts about a book. It calls nobody."""

from __future__ import annotations

from aiohttp import web

from bookinfo.service import run

routes = web.RouteTableDef()

BOOK = {
    "author": "William Shakespeare",
    "year": 1595,
    "type": "paperback",
    "pages": 200,
    "publisher": "PublisherA",
    "language": "English",
    "ISBN-10": "1234567890",
    "ISBN-13": "123-1234567890",
}


@routes.get("/details/{product}")
async def details(request: web.Request) -> web.Response:
    product = request.match_info["product"]
    if not product.isdecimal():
        return web.json_response({"error": "please provide numeric product id"}, status=400)
    return web.json_response({"id": int(product), **BOOK})


@routes.get("/health")
async def health(request: web.Request) -> web.Response:
    return web.json_response({"status": "Details is healthy"})


if __name__ == "__main__":
    run(routes)
