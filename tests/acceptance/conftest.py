"""A project with experiments, run by a pytest inside this one, on the fake mesh of `chaos.testing`, whose minutes take no time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import chaos.run.plan.experiment  # once here, not again in every pytest that runs inside this one
import chaos.testing.fake
from tests.acceptance.shop import CONFTEST, HEAD, MANIFESTS, OPTIONS, TOPOLOGY

Shop = Callable[..., pytest.RunResult]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a shop whose front calls a back, waits a second for it, and then says sorry."""
    monkeypatch.setenv("XDG_STATE_HOME", str(pytester.path / "state"))
    monkeypatch.setenv("PYTHONPATH", ":".join(str(Path(chaos.__path__[0]).parent / part) for part in (".", "plugins")))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # what else is installed here is not under test
    (pytester.path / "shop.yaml").write_text(
        "---\n".join(MANIFESTS.replace("NAME", name).replace("REPLICAS", count) for name, count in (("front", "1"), ("back", "2")))
    )
    (pytester.path / "chaos.yaml").write_text(TOPOLOGY)
    pytester.makeconftest(CONFTEST)
    return pytester.path


@pytest.fixture
def shop(project: Path, pytester: pytest.Pytester) -> Shop:
    """`shop(tests, *options)`: run these tests on the shop, in this process."""

    def run(tests: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_shop=HEAD + tests)
        return pytester.runpytest_inprocess(*OPTIONS, *options)

    return run


@pytest.fixture
def shop_apart(project: Path, pytester: pytest.Pytester) -> Shop:
    """The same in a process of its own, for what ends processes."""

    def run(tests: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_shop=HEAD + tests)
        return pytester.runpytest_subprocess(*OPTIONS, *options, timeout=60)

    return run
