"""Does everything that a page points to exist? Pages, headings, and files of the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, prose

LINK = re.compile(r"\]\(([^)\s]+)\)")
OURS = re.compile(r"`((?:chaos|plugins|tests|experiments|examples|benchmarks|docs)/[\w./-]+)`")
TO_BE_WRITTEN = {"experiments/test_mine.py"}
INDEX = ROOT / "docs" / "index.md"


def links(page: Path) -> list[str]:
    return [link for link in LINK.findall(prose(page)) if "://" not in link]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", h)).strip().lower().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_are_there(page: Path) -> None:
    assert {path for path in OURS.findall(prose(page)) if not (ROOT / path).exists()} <= TO_BE_WRITTEN


def test_every_page_is_in_the_index() -> None:
    linked = {(INDEX.parent / link.partition("#")[0]).resolve() for link in links(INDEX)}

    assert {page for page in PAGES if page.is_relative_to(INDEX.parent)} - {INDEX} <= linked
