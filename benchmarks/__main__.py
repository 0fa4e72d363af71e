"""Measure everything: one line a figure, its goal, and whether it is met. `make bench` runs it.

python -m benchmarks [--json FILE] [NAME ...]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.results import Result

MODULES = ("translation", "mesh", "injections", "load", "plugin", "claims", "cluster")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(MODULES)}; all without a name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(MODULES)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(MODULES)}")
    results: list[Result] = []
    for name in options.names or MODULES:
        for benchmark in import_module(f"benchmarks.{name}").BENCHMARKS:
            for result in benchmark():
                results.append(result)
                print(result, flush=True)
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(result) for result in results], indent=1) + "\n")


if __name__ == "__main__":
    main()
