"""What does a visitor see? The texts of Istio's product page, without its styling.

Experiments look for these texts, so they are the same as on a cluster with Istio's images: the headings, the apologies,
`Reviews served by:`, and `text-red-500` or `text-black-500`, which tells the stars of v3 from those of v2.
"""

from __future__ import annotations

from html import escape
from typing import Any

TITLE = "The Comedy of Errors"
DESCRIPTION = "William Shakespeare's shortest play: two pairs of twins, one city, one day, and nobody knows who is who."
MOST_STARS = 5
Part = tuple[int, dict[str, Any]]
"""Status and body of what a service answered; `{"error": ...}` where it did not answer 200."""


def index() -> str:
    return _document('<p>A bookstore with one book: its <a href="/productpage">product page</a>.</p>')


def product_page(details: Part, reviews: Part, *, user: str) -> str:
    return _document(f"{_user(user)}<h1>{TITLE}</h1><p>{DESCRIPTION}</p>{_details(*details)}{_reviews(*reviews)}")


def _document(body: str) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Simple Bookstore App</title></head>'
        f"<body><p>BookInfo Sample</p>{body}</body></html>"
    )


def _user(user: str) -> str:
    if user:
        return f'<p>{escape(user)} <a href="/logout">Sign out</a></p>'
    return '<form method="post" action="/login"><input name="username" required><button>Sign in</button></form>'


def _details(status: int, details: dict[str, Any]) -> str:
    if status != 200:
        return _apology("details", details)
    facts = ((name, str(value)) for name, value in details.items() if name != "id")
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return f"<h4>Book Details</h4><dl>{rows}</dl>"


def _reviews(status: int, reviews: dict[str, Any]) -> str:
    if status != 200:
        return _apology("reviews", reviews)
    served_by = f"<p>Reviews served by: {escape(str(reviews.get('podname')))}</p>"
    return "<h4>Book Reviews</h4>" + "".join(_review(review) for review in reviews.get("reviews", ())) + served_by


def _review(review: dict[str, Any]) -> str:
    text, reviewer = escape(review["text"]), escape(review["reviewer"])
    return f"<section>{_rating(review.get('rating', {}))}<blockquote>{text}</blockquote><p>{reviewer}</p></section>"


def _rating(rating: dict[str, Any]) -> str:
    if "stars" in rating:
        stars = "★" * rating["stars"] + "☆" * (MOST_STARS - rating["stars"])
        return f'<div class="stars text-{escape(rating["color"])}-500">{stars}</div>'
    return f"<p>{escape(rating['error'])}</p>" if "error" in rating else ""


def _apology(part: str, body: dict[str, Any]) -> str:
    return f"<p>Error fetching product {part}</p><p>{escape(str(body.get('error')))}</p>"
