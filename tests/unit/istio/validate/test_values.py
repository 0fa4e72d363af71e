from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.istio.validate import values

L63, L64 = "a" * 63, "a" * 64


@pytest.mark.parametrize("name", ["a", "A-1", "reviews.default.svc.cluster.local", "a.b.", "1.b", L63, "a.1b", ".".join([L63] * 3)])
def test_full_names(name: str) -> None:
    assert values.fqdn(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty domain name not allowed"),
        ("a b", 'label "a b" invalid'),
        ("-a", "invalid"),
        ("a-", "invalid"),
        ("a..b", 'label "" invalid'),
        (".a", "invalid"),
        ("a_b", "invalid"),
        ("a:80", "invalid"),
        ("*.a", "invalid"),
        (L64, "invalid"),
        ("a.123", 'top level domain "123" cannot be all-numeric'),
        ("10.0.0.1", "cannot be all-numeric"),
        (".".join([L63] * 4) + ".a", "too long (max 255)"),
    ],
)
def test_what_is_no_full_name(name: str, why: str) -> None:
    assert why in (values.fqdn(name) or "fine")


@pytest.mark.parametrize("name", ["*", "*.a.com", "*-b.com", "a.com", "*a.com"])
def test_wildcards_stand_in_front(name: str) -> None:
    assert values.wildcard_domain(name) is None


@pytest.mark.parametrize("name", ["a.*.com", "a*.com", "**", "*.*", "*..a", "", "*.", "*.1"])
def test_misplaced_wildcards(name: str) -> None:
    expected = name == "*."  # like any name, with a dot at its end
    assert (values.wildcard_domain(name) is None) is expected


@pytest.mark.parametrize(
    ("name", "fine"),
    [
        ("outbound_.80_._.reviews.default.svc.cluster.local", True),
        ("outbound_.80_.v1_.reviews.default", True),
        ("outbound_.x_._.reviews", False),
        ("outbound_.80", False),
        ("*.com", True),
        ("a b", False),
    ],
)
def test_sni_names(name: str, fine: bool) -> None:
    assert (values.sni_domain(name) is None) is fine


@pytest.mark.parametrize(("number", "fine"), [(0, False), (1, True), (65535, True), (65536, False)])
def test_ports(number: int, fine: bool) -> None:
    assert (values.port(number) is None) is fine


@pytest.mark.parametrize(
    ("milliseconds", "fine"), [(0, False), (0.5, False), (1, True), (1.5, False), (1000, True), (-1000, False)]
)
def test_durations_are_whole_milliseconds(milliseconds: float, fine: bool) -> None:
    assert (values.duration(timedelta(milliseconds=milliseconds)) is None) is fine


@pytest.mark.parametrize(
    ("share", "fine"), [(0, True), (0.0001, True), (0.00009, False), (100, True), (100.1, False), (-1, False), (50, True)]
)
def test_percentages_of_faults(share: float, fine: bool) -> None:
    assert (values.percentage(share) is None) is fine


@pytest.mark.parametrize(("status", "fine"), [(199, False), (200, True), (599, True), (600, True), (601, False), (0, False)])
def test_statuses_go_one_further_than_they_say(status: int, fine: bool) -> None:
    assert (values.http_status(status) is None) is fine


@pytest.mark.parametrize(
    ("token", "fine"),
    [
        ("5xx", True), ("gateway-error", True), ("unavailable", True), ("503", True), ("+503", True), ("418", True),
        ("520", False), ("306", False), ("", False), (" 5xx", False), ("5XX", False), ("0", False),
    ],
)  # fmt: skip
def test_retry_conditions(token: str, fine: bool) -> None:
    assert (values.retry_condition(token) is None) is fine


@pytest.mark.parametrize(
    ("name", "fine"), [("UNAVAILABLE", True), ("unavailable", False), ("OK", True), ("14", False), ("CANCELED", False)]
)
def test_grpc_statuses(name: str, fine: bool) -> None:
    assert (values.grpc_status(name) is None) is fine


@pytest.mark.parametrize(
    ("key", "value", "fine"),
    [
        ("app", "a", True), ("app", "", True), ("example.com/app", "v1.0_x-y", True), ("app", "a b", False), ("", "a", False),
        ("-a", "a", False), ("a/b/c", "a", False), (L64, "a", False), ("app", "-a", False), ("*", "a", False), ("app", L64, True),
    ],
)  # fmt: skip
def test_labels(key: str, value: str, fine: bool) -> None:
    assert (not list(values.labels({key: value}))) is fine


@pytest.mark.parametrize(
    ("entry", "fine"), [(".", True), ("*", True), ("~", False), ("shop", True), ("a.b", False), ("", False), ("a_b", False)]
)
def test_visibility(entry: str, fine: bool) -> None:
    assert (values.visibility(entry) is None) is fine


@pytest.mark.parametrize(
    ("text", "gateway", "errors"),
    [
        ("*/*", False, 0), ("./reviews.shop", False, 0), ("~/*", False, 0), ("reviews", False, 1), ("./reviews", False, 1),
        ("a/", False, 3), ("/a.b", False, 2), ("a_b/a.b", False, 1), ("./*a.b", False, 1),
        ("*", True, 0), ("a.b", True, 0), ("reviews", True, 1), ("~/a.b", True, 1), ("*.a.b", True, 0), ("10.0.0.1", True, 0),
        ("10.0.0.1", False, 1), ("*a.b", True, 1),
    ],
)  # fmt: skip
def test_hosts_with_namespaces(text: str, gateway: bool, errors: int) -> None:
    assert len(list(values.namespaced_host(text, gateway=gateway))) == errors


@pytest.mark.parametrize(
    ("text", "fine"),
    [("10.0.0.1", True), ("10.0.0.0/8", True), ("10.0.0.1/8", True), ("::1", True), ("fd00::/8", True), ("10.0.0.0/33", False),
     ("10.0.0", False), ("a", False), ("10.0.0.0/", False), ("10.0.0.0/08", False), ("10.0.0.0/8/8", False)],
)  # fmt: skip
def test_subnets(text: str, fine: bool) -> None:
    assert (values.subnet(text) is None) is fine


@pytest.mark.parametrize(("path", "fine"), [("/a/b", True), ("@abstract", True), ("a", False), ("/a/", False), ("", False)])
def test_unix_addresses(path: str, fine: bool) -> None:
    assert (values.unix_address(path) is None) is fine


@pytest.mark.parametrize(
    ("name", "errors", "warnings"),
    [
        ("mesh", 0, 0), ("gw", 0, 0), ("shop/gw", 0, 0), ("gw.shop", 0, 1), ("gw.shop.svc.cluster.local", 0, 1), ("", 1, 0),
        ("a b", 1, 0), ("shop/", 2, 0), ("/gw", 2, 0), ("shop/a.b", 1, 0),
    ],
)  # fmt: skip
def test_gateway_names(name: str, errors: int, warnings: int) -> None:
    wrong, doubtful = values.gateway_name(name)
    assert (len(wrong), len(doubtful)) == (errors, warnings)


@pytest.mark.parametrize(
    ("value", "fine"),
    [
        ("plain", True), ("", True), ("tab\there", True), ("line\nbreak", False), ("100%", False), ("100%%", True),
        ("%REQ(:path)%", True), ("%START_TIME%", True), ("%REQ(", False), ("%DOWNSTREAM", False), ("é", True),
        ('%UPSTREAM_METADATA(["a", "b"])%', True), ('%UPSTREAM_METADATA(["a" "b"])%', False), ("%A()%", False), ("\x7f", False),
    ],
)  # fmt: skip
def test_header_values(value: str, fine: bool) -> None:
    assert (values.header_value(value) is None) is fine


@pytest.mark.parametrize(
    ("name", "written", "changed"),
    [("x-a", True, True), (":authority", True, False), ("Host", True, False), (":path", False, False), ("", False, False)],
)
def test_header_names_of_requests_and_responses(name: str, written: bool, changed: bool) -> None:
    assert (values.written_header_name(name) is None) is written
    assert (values.changed_header_name(name) is None) is changed


@pytest.mark.parametrize(
    ("name", "fine"),
    [("x-a", True), ("x_a", True), ("x.a", True), (":path", True), (":foo", False), ("@request.auth.claims.sub", True),
     ("@request.auth.claims[a]", True), ("@request.auth.claims", False), ("", False), ("x a", False)],
)  # fmt: skip
def test_matched_header_names(name: str, fine: bool) -> None:
    assert (values.matched_header_name(name) is None) is fine


@pytest.mark.parametrize(("name", "fine"), [("X-User", True), ("x_user", False), ("x.user", False), ("", False)])
def test_header_names_that_istio_makes(name: str, fine: bool) -> None:
    assert (values.plain_header_name(name) is None) is fine


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "regex string match should not be empty"),
        ("a" * 1025, "max length allowed is 1024"),
        ("(?!a)", "RE2 style"),
        ("é" * 600, "max"),
    ],
)
def test_expressions(pattern: str, why: str) -> None:
    assert why in (values.regex(pattern, "uri") or "fine")


@given(st.integers(min_value=1, max_value=3000))
def test_primes(number: int) -> None:
    assert values.is_prime(number) is (number < 4 or all(number % factor for factor in range(2, number)))


@given(st.text(max_size=30))
def test_every_rule_for_text_answers(text: str) -> None:
    rules = (
        values.fqdn, values.wildcard_domain, values.sni_domain, values.subnet, values.visibility, values.retry_condition,
        values.header_value, values.header_name, values.port_name, values.protocol, values.unix_address, values.partial_wildcard,
    )  # fmt: skip
    assert all(isinstance(rule(text), (str, type(None))) for rule in rules)
