"""Do routes of ours at a gateway take the callee's requests, all of them, and nobody else's?"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.envoy.configuration import Configuration
from chaos.errors import Refused
from chaos.injection.leading import MOST_MATCHES, hosts_to, leads, matches_to
from chaos.model.edge import Edge

PAGE, API = "page.shop.svc.cluster.local", "api.shop.svc.cluster.local"
EDGE = Edge.of("gateway -> page")
PATHS = ["/", "/api", "/api/", "/apis", "/api/v1", "/page", "/PAGE", "/page/1", "/login"]
QUERIES = ["", "?q=1", "?next=/api"]
USERS = [{}, {"user": "jason"}, {"user": "kim"}]


def route(host: str, **match: Any) -> dict[str, Any]:
    return {"match": match, "route": {"cluster": f"outbound|80||{host}"}}


def header(name: str, value: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "string_match": {"exact": value}, **more}


# ----------------------------------------------------------------------------- as Envoy matches (api/envoy/config/route/v3)
def meets(match: dict[str, Any], path: str, query: str, headers: dict[str, str]) -> bool:
    return _path_meets(match, path) and all(_header_meets(h, {":path": path + query, **headers}) for h in match.get("headers", ()))


def _path_meets(match: dict[str, Any], path: str) -> bool:
    flags = 0 if match.get("case_sensitive", True) else re.IGNORECASE
    if "safe_regex" in match:
        return re.fullmatch(match["safe_regex"]["regex"], path) is not None
    forms = {"path": "{}", "prefix": "{}.*", "path_separated_prefix": "{}(/.*)?"}
    kind = next(key for key in forms if key in match)
    return re.fullmatch(forms[kind].format(re.escape(match[kind])), path, flags) is not None


def _header_meets(wanted: dict[str, Any], headers: dict[str, str]) -> bool:
    value, inverted = headers.get(wanted["name"]), bool(wanted.get("invert_match"))
    if "present_match" in wanted:
        return (value is not None) is not inverted
    if value is None and not wanted.get("treat_missing_header_as_empty"):
        return False
    found = wanted["string_match"]
    hit = (
        re.fullmatch(found["safe_regex"]["regex"], value or "") is not None
        if "safe_regex" in found
        else (value or "") == found["exact"]
    )
    return hit is not inverted


def taken(routes: list[dict[str, Any]], path: str, query: str, headers: dict[str, str]) -> bool:
    """Is the first route that the request meets one to the page?"""
    first = next((r for r in routes if meets(r["match"], path, query, headers)), None)
    return first is not None and leads(first, PAGE)


# -------------------------------------------------------------------------------------------------------------- matches
paths = st.sampled_from(PATHS)
matches = st.one_of(
    st.builds(lambda kind, path, cs: {kind: path, "case_sensitive": cs}, st.sampled_from(["path", "prefix"]), paths, st.booleans()),
    st.builds(lambda path: {"path_separated_prefix": path}, st.sampled_from(["/api", "/page"])),
    st.builds(lambda text: {"safe_regex": {"regex": text}}, st.sampled_from(["/ap.", "/page/[0-9]+", "/.*"])),
)
conditions = st.sampled_from(
    [
        [],
        [header("user", "jason")],
        [header("user", "jason", invert_match=True, treat_missing_header_as_empty=True)],
        [{"name": "user", "present_match": True}],
        [header("user", "kim"), {"name": "user", "present_match": True, "invert_match": True}],
    ]
)
any_routes = st.lists(
    st.builds(
        lambda host, match, headers: route(host, **match, **({"headers": headers} if headers else {})),
        st.sampled_from([PAGE, API]),
        matches,
        conditions,
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(any_routes)
def test_the_matches_take_exactly_what_the_routes_to_the_callee_get(routes: list[dict[str, Any]]) -> None:
    try:
        found = matches_to(routes, PAGE, EDGE)
    except Refused:
        return
    for path in PATHS:
        for query in QUERIES:
            for headers in USERS:
                ours = any(meets(match, path, query, headers) for match in found)
                assert ours is taken(routes, path, query, headers), (path, query, headers, found)


def test_routes_that_cannot_meet_need_no_exclusion() -> None:
    found = matches_to([route(API, prefix="/api"), route(PAGE, path="/page"), route(PAGE, prefix="/login")], PAGE, EDGE)

    assert found == [{"path": "/page"}, {"prefix": "/login"}]


def test_a_catch_all_behind_others_leaves_them_what_they_take() -> None:
    (match,) = matches_to([route(API, prefix="/api"), route(PAGE, prefix="/")], PAGE, EDGE)

    assert match == {
        "prefix": "/",
        "headers": [{"name": ":path", "string_match": {"safe_regex": {"regex": "/api.*"}}, "invert_match": True}],
    }


def test_a_redirect_in_front_is_nobodys_service() -> None:
    redirect = {"match": {"path": "/"}, "redirect": {"path_redirect": "/page"}}

    (match,) = matches_to([redirect, route(PAGE, prefix="/")], PAGE, EDGE)

    assert not meets(match, "/", "?q=1", {})
    assert meets(match, "/page", "", {})


def several(count: int) -> list[dict[str, Any]]:
    pair = [header("a", "1"), header("b", "2")]
    return [*(route(API, prefix=f"/{n}", headers=pair) for n in range(count)), route(PAGE, prefix="/")]


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        ([route(API, prefix="/", query_parameters=[{"name": "q"}]), route(PAGE, prefix="/")], "matches query_parameters"),
        ([route(API, prefix="/"), route(PAGE, prefix="/")], "come after one that takes every request"),
        (several(4), rf"it would take {MOST_MATCHES + 1} routes"),
    ],
    ids=["query", "hidden", "many"],
)
def test_what_no_route_can_tell_apart_is_refused(routes: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(Refused, match=message):
        matches_to(routes, PAGE, EDGE)


def test_a_few_alternatives_are_written_out() -> None:
    assert len(matches_to(several(3), PAGE, EDGE)) == 27


# -------------------------------------------------------------------------------------------------------- virtual hosts
def test_virtual_hosts_with_a_route_to_the_callee_are_found_but_those_that_redirect_to_https() -> None:
    weighted = {
        "match": {"prefix": "/"},
        "route": {"weighted_clusters": {"clusters": [{"name": f"outbound|80|v{n}|{h}"} for n, h in enumerate((API, PAGE))]}},
    }
    hosts = [
        {"name": "a:80", "routes": [route(API, prefix="/"), route(PAGE, prefix="/x")]},
        {"name": "b:80", "routes": [weighted]},
        {"name": "c:80", "routes": [route(API, prefix="/")]},
        {"name": "d:80", "routes": [route(PAGE, prefix="/")], "require_tls": "ALL"},
        {"name": "e:80"},
    ]

    assert hosts_to(Configuration(routes=({"name": "http.80", "virtual_hosts": hosts},)), PAGE) == ["a:80", "b:80"]
