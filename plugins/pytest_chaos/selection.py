"""Can these experiments run at all? Which topology they share, and what would go wrong, said before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_chaos import options

if TYPE_CHECKING:
    from chaos.model.topology import Topology

MARK = frozenset({"hypothesis", "exclusive"})
"""What `@pytest.mark.chaos(...)` may say."""


def topology(config: pytest.Config, items: Sequence[pytest.Item]) -> Topology:
    """The topology of all of these. Raises UsageError."""
    from chaos.errors import ConfigurationError
    from chaos.run.topology import load

    file = options.topology(config) or _nearest(config, items)
    try:
        return load(file)
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error


def check_markers(items: Sequence[pytest.Item]) -> None:
    """A mark that is written wrong would say nothing, and nobody would notice. Raises UsageError."""
    from chaos.errors import nearest

    for item in items:
        for mark in item.iter_markers("chaos"):
            if mark.args:
                raise pytest.UsageError(
                    f'{item.nodeid}: @pytest.mark.chaos takes names, hypothesis="...", and not {mark.args[0]!r} alone'
                )
            if unknown := sorted(mark.kwargs.keys() - MARK):
                raise pytest.UsageError(f"{item.nodeid}: @pytest.mark.chaos knows no {unknown[0]}{nearest(unknown[0], MARK)}")


def refuse_strange_chaos() -> None:
    """A project may have a top-level `chaos` of its own. Raises UsageError with both paths."""
    import chaos

    here = Path(__file__).resolve().parent
    ours = next((p for p in (here.parent / "chaos", here.parent.parent / "chaos") if (p / "errors.py").is_file()), None)
    found = [Path(path).resolve() for path in chaos.__path__] if chaos.__file__ is None else [Path(chaos.__file__).resolve().parent]
    if ours is not None and ours not in found:
        raise pytest.UsageError(
            f"the package chaos that Python finds is {found[0]}, and experiments need the one of istio-chaos, {ours}: "
            "rename the other, or keep its folder off sys.path (pytest's rootdir, pythonpath, PYTHONPATH)"
        )


def refuse_locust() -> None:
    """Raises UsageError when locust was imported into this process."""
    from chaos.errors import ConfigurationError
    from chaos.load.locust.child import refuse_locust_in_process

    try:
        refuse_locust_in_process()
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error


def _nearest(config: pytest.Config, items: Sequence[pytest.Item]) -> Path:
    from chaos.run.topology import NAME, find

    found: dict[Path | None, pytest.Item] = {}
    for item in items:
        found.setdefault(find(item.path.parent, config.rootpath), item)
    without = found.pop(None, None)
    if without is not None:
        raise pytest.UsageError(
            f"{without.nodeid} is an experiment, and there is no {NAME} in {without.path.parent} or above it "
            f"up to {config.rootpath}: write one there, or name one with --chaos-topology"
        )
    if len(found) > 1:
        lines = "\n".join(f"  {file}  for {item.nodeid}" for file, item in found.items())
        raise pytest.UsageError(
            f"one run has one topology, and these experiments have {len(found)}; "
            f"select fewer, or name one with --chaos-topology:\n{lines}"
        )
    (file,) = found
    assert file is not None
    return file
