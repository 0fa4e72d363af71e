from __future__ import annotations

from typing import Any

import pytest

from chaos.istio.validate import warnings
from tests.manifests import istio

ROUTE = [{"destination": {"host": "a"}}]


def said(*matches: Any, protocol: str = "http") -> list[tuple[str, str]]:
    """One rule per entry: its matches, None for a rule without."""
    rules = [{"route": ROUTE, **({"match": match} if match else {})} for match in matches]
    found = warnings(istio("VirtualService", {"hosts": ["a.com"], protocol: rules}))
    return [(finding.code, finding.path) for finding in found]


def prefix(text: str, **more: Any) -> dict[str, Any]:
    return {"uri": {"prefix": text}, **more}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param([[prefix("/a")], None], [], id="a catch-all at the end"),
        pytest.param([None, None], [("IST0130", "spec.http[1]")], id="two catch-alls"),
        pytest.param([None, [prefix("/a")]], [("IST0130", "spec.http[1].match[0]")], id="after a catch-all"),
        pytest.param(
            [[prefix("/a")], [prefix("/a")]],
            [("IST0131", "spec.http[1].match[0]"), ("IST0130", "spec.http[1]")],
            id="the same match again",
        ),
        pytest.param([[prefix("/a")], [prefix("/a"), prefix("/b")]], [("IST0131", "spec.http[1].match[0]")], id="one of two again"),
        pytest.param(
            [[prefix("/a", name="x")], [prefix("/a", name="y")]],
            [("IST0131", "spec.http[1].match[0]"), ("IST0130", "spec.http[1]")],
            id="names do not count",
        ),
        pytest.param([[prefix("/")], [prefix("/a")]], [("IST0131", "spec.http[1].match[0]")], id="a wider prefix before"),
        pytest.param([[prefix("/a")], [prefix("/")]], [], id="a wider prefix behind"),
        pytest.param([[prefix("/", port=80)], [prefix("/a", port=81)]], [], id="other ports"),
        pytest.param([[prefix("/", headers={"x": {"exact": "1"}})], [prefix("/a")]], [], id="the wider one wants a header"),
        pytest.param(
            [[prefix("/", headers={"x": {"exact": "1"}})], [prefix("/a", headers={"x": {"exact": "1"}})]],
            [("IST0131", "spec.http[1].match[0]")],
            id="the same header",
        ),
        pytest.param([[prefix("/", method={"exact": "PUT"})], [prefix("/a")]], [], id="without a method it is a GET"),
        pytest.param([[prefix("/")], [prefix("/a", method={"exact": "PUT"})]], [], id="GET does not cover PUT"),
        pytest.param([[{"uri": {"exact": "/"}}], [{"uri": {"exact": "/a"}}]], [], id="exact paths"),
    ],
)  # fmt: skip
def test_rules_that_nobody_reaches(rules: list[Any], expected: list[tuple[str, str]]) -> None:
    assert sorted(said(*rules)) == sorted(expected)


def test_tcp_and_tls_rules_too() -> None:
    assert said(None, None, protocol="tcp") == [("IST0130", "spec.tcp[1]")]
    match = [{"sniHosts": ["a.com"]}]
    assert ("IST0131", "spec.tls[1].match[0]") in said(match, match, protocol="tls")
