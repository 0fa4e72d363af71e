"""What does the plugin cost a pytest run that has no experiment?

python -m benchmarks plugin
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.results import Result
from chaos.clock import NS, now

ROUNDS: Final = 15
PLUGINS: Final = Path(__file__).parents[1] / "plugins"


def without_experiments() -> Iterable[Result]:
    """A run of one empty test with the plugin against one without it, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        rounds = [(_seconds(folder, "-p", "pytest_chaos"), _seconds(folder, "-p", "no:pytest_chaos")) for _ in range(ROUNDS)]
    cost = median(with_it - without for with_it, without in rounds) * 1000
    yield Result("plugin in a run without experiments", round(cost, 1), "ms, median", "under 30", met=cost < 30)


BENCHMARKS: Final[tuple[Callable[[], Iterable[Result]], ...]] = (without_experiments,)


def _seconds(folder: str, *options: str) -> float:
    before = now()
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:locust", *options, folder],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PLUGINS.parent), str(PLUGINS)])},
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return (now() - before) / NS
