"""Do the experiments in the documentation run, and come to what is said of them?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import chaos
import chaos.testing.fake  # once here, not again in every pytest that runs inside this one
from tests.docs.pages import PAGES, ROOT, Snippet, named, snippets

BOOKINFO = ROOT / "experiments" / "chaos.yaml"
ELSEWHERE = {ROOT / "docs/reference/claims.md": ROOT / "tests/unit/claims/test_reference.py"}
"""Pages whose Python has a test of its own."""
BEHAVIOURS = """\
from chaos.testing.behaviour import Behaviour
from chaos.testing.fake import fake_mesh

SORRY = "Sorry, product reviews are currently unavailable for this book."
NO_STARS = "Ratings service is currently unavailable"

pytest_chaos_mesh = fake_mesh({
    "productpage": Behaviour(calls=("details", "reviews"), patience="3s", tries=2, fallback=SORRY, body="Reviewer1"),
    "reviews:v2": Behaviour(calls=("ratings",), patience="10s", fallback=NO_STARS),
    "reviews:v3": Behaviour(calls=("ratings",), patience="2500ms", fallback=NO_STARS),
    "front": Behaviour(calls=("back",), fallback="sorry"),
})
"""
OPTIONS = ("-p", "pytest_chaos", "-W", "error", "-p", "no:cacheprovider")


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(pytester.path / "state"))
    monkeypatch.setenv("PYTHONPATH", ":".join(str(Path(chaos.__path__[0]).parent / part) for part in (".", "plugins")))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester.path


def experiments(page: Path, directive: str) -> list[Snippet]:
    return [s for s in snippets() if s.page == page and s.is_experiment and s.directive == directive]


def files(page: Path) -> list[Snippet]:
    return [s for s in named("file") if s.page == page]


def on_the_fake(page: Path) -> list[Snippet]:
    return [*experiments(page, ""), *experiments(page, "file")] if page not in ELSEWHERE else []


def write(found: list[Snippet], folder: Path) -> list[str]:
    """As modules of tests whose names tell page and line."""
    names = [f"test_{s.page.stem.replace('-', '_').lower()}_{s.line}" for s in found]
    for name, snippet in zip(names, found, strict=True):
        (folder / f"{name}.py").write_text(snippet.text, encoding="utf-8")
    return names


def outcomes(folder: Path) -> list[tuple[str, str]]:
    """(module, outcome), in order."""
    (file,) = folder.glob("reports/runs/*/report.json")
    return [(Path(e["name"].partition("::")[0]).stem, e["outcome"]) for e in json.loads(file.read_text())["experiments"]]


@pytest.mark.parametrize("page", [page for page in PAGES if on_the_fake(page)], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_experiments_of_a_page_are_held(page: Path, folder: Path, pytester: pytest.Pytester) -> None:
    for snippet in files(page):
        (folder / snippet.argument).write_text(snippet.text, encoding="utf-8")
    topology = folder / "chaos.yaml" if (folder / "chaos.yaml").exists() else BOOKINFO
    pytester.makeconftest(BEHAVIOURS)
    modules = write(experiments(page, ""), folder) + [Path(s.argument).stem for s in experiments(page, "file")]

    result = pytester.runpytest_inprocess(*OPTIONS, "--chaos-mesh=fake", f"--chaos-topology={topology}")

    assert result.ret == 0
    assert {outcome for _, outcome in outcomes(folder)} == {"held"}
    assert {module for module, _ in outcomes(folder)} == set(modules)


def test_experiments_on_the_local_mesh_come_to_what_is_said(folder: Path, pytester: pytest.Pytester) -> None:
    """Real Envoys, the real demo application, real load: in one run, since starting them is what takes time."""
    said = named("local mesh")
    for snippet in (file for page in {s.page for s in said} for file in files(page)):
        (folder / snippet.argument).write_text(snippet.text, encoding="utf-8")
    modules = write(said, folder)

    pytester.runpytest_subprocess(*OPTIONS, f"--chaos-topology={BOOKINFO}", timeout=240)

    assert dict(outcomes(folder)) == {module: snippet.argument for module, snippet in zip(modules, said, strict=True)}
    shutil.rmtree(folder / "reports")  # the logs of all sidecars


@pytest.mark.parametrize(
    "snippet",
    [s for s in snippets() if s.language == "python" and not s.is_experiment and not s.directive and s.page not in ELSEWHERE],
    ids=str,
)
def test_other_python_can_be_executed(snippet: Snippet) -> None:
    exec(compile(snippet.text, str(snippet), "exec"), {})


@pytest.mark.parametrize(("page", "test"), ELSEWHERE.items(), ids=lambda path: path.name)
def test_pages_tested_elsewhere_are(page: Path, test: Path) -> None:
    assert f'"{page.name}"' in test.read_text(encoding="utf-8")
