"""What do tests do about an API server that is not there? They are left out and counted, or with `--require-apiserver` fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.apiserver.server import ApiServer

NEEDED = "apiserver"
"""The fixture, or the mark where it is asked for only in the course of a test, by which tests that need one are known."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-apiserver",
        action="store_true",
        help="fail when there are no binaries of kube-apiserver and etcd, instead of leaving out the tests that need them",
    )
    parser.addoption(
        "--seeds", type=int, default=0, help="so many seeds for random cases, and runs of windows that are alike (make soak)"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{NEEDED}: needs the binaries of kube-apiserver and etcd")
    config.addinivalue_line("markers", "seeds(number): called with so many seeds, or with as many as --seeds asks for")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if marker := metafunc.definition.get_closest_marker("seeds"):
        metafunc.parametrize("seed", range(max(marker.args[0], metafunc.config.getoption("--seeds"))))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    without = [item for item in items if NEEDED in getattr(item, "fixturenames", ()) or item.get_closest_marker(NEEDED)]
    if not without:
        return
    from tests.apiserver.server import assets

    if assets() is not None:
        return
    reason = (
        "kube-apiserver and etcd are in none of $KUBEBUILDER_ASSETS and the cache; .ci/apiserver builds them, in five minutes, once"
    )
    if config.getoption("--require-apiserver"):
        raise pytest.UsageError(f"--require-apiserver: {reason}")
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in set(without)]
    config.stash[_LEFT_OUT] = f"{len(without)} tests left out: {reason}"


_LEFT_OUT = pytest.StashKey[str]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if told := config.stash.get(_LEFT_OUT, ""):
        terminalreporter.section("API server")
        terminalreporter.line(told)


@pytest.fixture(scope="session")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real one, with Istio's CRDs; one for all tests of this process."""
    from tests.apiserver.server import running

    with running(tmp_path_factory.mktemp("apiserver")) as server:
        yield server
