from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.istio.validate import re2


@pytest.mark.parametrize(
    "pattern",
    [
        "", "a", ".*", "^/api/v[0-9]+$", r"\d+\.\w*", "(a|b)*?", "(?i)abc", "(?P<name>x)", "(?<name>x)", "(?:x){2,5}", "[^]a]",
        r"[\d\-x]", r"\p{Greek}", r"\pL", r"\Q(*\E", r"\x41\x{1F600}", "[[:alpha:]]", "a{,2}", "x*+" [:2], r"\bword\B", "(?s:.)",
        "a{1000}", "$^", "()", "|",
    ],
)  # fmt: skip
def test_what_re2_reads(pattern: str) -> None:
    assert re2.problem(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(?=a)", "invalid or unsupported Perl syntax"),
        ("(?!a)", "invalid or unsupported Perl syntax"),
        ("(?<=a)b", "invalid"),
        (r"(a)\1", "invalid escape sequence"),
        ("(a", "missing closing )"),
        ("a)", "unexpected )"),
        ("[a", "missing closing ]"),
        ("[z-a]", "invalid character class range"),
        ("*a", "missing argument to repetition operator"),
        ("a**", "invalid nested repetition operator"),
        ("a*+", "invalid nested repetition operator"),
        ("a{2}{3}", "invalid nested repetition operator"),
        ("a{1001}", "invalid repeat count"),
        ("a{3,2}", "invalid repeat count"),
        (r"\8", "invalid escape sequence"),
        ("a\\", "trailing backslash"),
        ("(?P<n>a)(?P<n>b)", "invalid named capture"),
        ("(?P<n", "invalid named capture"),
        ("[[:letters:]]", "invalid character class range"),
    ],
)
def test_what_re2_does_not_read(pattern: str, problem: str) -> None:
    assert problem in (re2.problem(pattern) or "fine")


@given(st.text(alphabet=st.sampled_from("ab01()[]{}*+?|^$.\\-,:=!<>PQEdpx "), max_size=12))
def test_any_text_gets_an_answer(pattern: str) -> None:
    problem = re2.problem(pattern)
    assert problem is None or problem.startswith("error parsing regexp: ")


@given(st.text(alphabet="abc123./-", max_size=12).map(re.escape))
def test_escaped_text_is_always_fine(pattern: str) -> None:
    assert re2.problem(pattern) is None
