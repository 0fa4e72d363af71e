"""What is in the documentation? Pages, their snippets, and what a comment before a snippet says about it.

    <!-- local mesh: held -->     an experiment that runs on real Envoys, and its outcome
    <!-- file: shop.yaml -->      the snippet is a file that others of its page need
    <!-- not run: the reason -->  neither executed nor checked

Without one, experiments run on the fake mesh and are held.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"(?:^<!-- ([^\n]*?) -->\n)?^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DIRECTIVE = re.compile(r"(local mesh|file|not run): (.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """One fenced block."""

    page: Path
    line: int
    language: str
    text: str
    directive: str
    """`local mesh`, `file`, `not run`, or empty."""
    argument: str

    @property
    def is_experiment(self) -> bool:
        return self.language == "python" and "def test_" in self.text

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def snippets() -> tuple[Snippet, ...]:
    """Those of all pages, in order."""
    return tuple(snippet for page in PAGES for snippet in _of(page))


def named(directive: str) -> list[Snippet]:
    return [snippet for snippet in snippets() if snippet.directive == directive]


def written_in(language: str) -> list[Snippet]:
    """Those in one language, without what is not run."""
    return [snippet for snippet in snippets() if snippet.language == language and snippet.directive != "not run"]


def prose(page: Path) -> str:
    """A page without its snippets."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def _of(page: Path) -> list[Snippet]:
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        directive, argument = _read(fence[1] or "")
        line = text.count("\n", 0, fence.start(2)) + 1
        found.append(Snippet(page=page, line=line, language=fence[2], text=fence[3], directive=directive, argument=argument))
    return found


def _read(comment: str) -> tuple[str, str]:
    said = _DIRECTIVE.fullmatch(comment)
    return (said[1], said[2]) if said else ("", "")
