"""Which changes to claims and statistics does no test notice? mutmut makes them; this tells which of those left are not known.

    python -m tests.mutation.survivors                    # everything, for an hour or two (make mutate)
    python -m tests.mutation.survivors "chaos.stats.*"    # some of it
    python -m tests.mutation.survivors --found            # what the last run found, once more

`known.yaml` names the survivors that are right to survive, with the reason. It knows them by module, function and changed line, so that
it outlives edits elsewhere. Words of messages are counted apart: snapshots keep the messages that matter, and no test asks
for each word of the others.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
KNOWN = Path(__file__).with_name("known.yaml")
STATUS = {0: "survived", 1: "killed", 3: "killed", 33: "untested", -24: "killed", 24: "killed", 36: "killed", 152: "killed"}
"""By exit code of the tests; a mutant that runs for ever was noticed."""
_NAME = re.compile(r"(?P<module>.+)\.(?:xǁ(?P<cls>\w+)ǁ|x_)(?P<function>\w+)__mutmut_\d+")
_MARK = re.compile(r"XX(.*?)XX", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Survivor:
    """One change that no test noticed."""

    where: str
    """`chaos.stats.shares.decide`"""
    was: str
    becomes: str

    @property
    def key(self) -> str:
        return f"{self.where}: {self.was} -> {self.becomes}"

    @property
    def wording(self) -> bool:
        """Are only words of texts other than they were?"""
        return _without_words(self.was) == _without_words(self.becomes)


def main(arguments: Sequence[str]) -> int:
    if "--found" not in arguments:
        make(ROOT, arguments)
    counts, found = results(ROOT)
    known = Known.read()
    words = [each for each in found if each.wording]
    new = [each for each in found if not each.wording and each not in known]
    gone = known.mutants - {each.key for each in found} if not arguments else set()
    print(", ".join(f"{number} {status}" for status, number in counts.most_common()))
    print(f"of {len(found)} survivors {len(words)} change words of messages, {len(found) - len(words) - len(new)} are known")
    for each in new:
        print(f"NEW  {each.key}")
    for key in sorted(gone):
        print(f"no longer there, take it out of {KNOWN.name}: {key}")
    return 1 if new or gone else 0


@dataclass(frozen=True, slots=True)
class Known:
    """Survivors that are right to survive: by name, or by what they have in common."""

    mutants: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]

    @classmethod
    def read(cls) -> Known:
        groups = yaml.safe_load(KNOWN.read_text())
        return cls(
            frozenset(mutant for group in groups for mutant in group.get("mutants", ())),
            tuple(re.compile(pattern) for group in groups for pattern in group.get("patterns", ())),
        )

    def __contains__(self, each: object) -> bool:
        assert isinstance(each, Survivor)
        return each.key in self.mutants or any(pattern.search(each.key) for pattern in self.patterns)


def make(folder: Path, patterns: Sequence[str] = ()) -> None:
    """Make the changes, and run the tests that reach each. The results stay in `mutants` there."""
    command = [sys.executable, "-m", "mutmut", "run", *patterns, "--max-children", str(os.cpu_count() or 1)]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        raise SystemExit(f"mutmut failed with status {done.returncode}: {done.stdout[-4000:]}")


def results(folder: Path) -> tuple[Counter[str], list[Survivor]]:
    """How many had which fate, and those that survived."""
    with chdir(folder):  # where mutmut looks for its configuration
        from mutmut.mutation.diff_apply import get_diff_for_mutant

        counts: Counter[str] = Counter()
        found = []
        for name, path, code in _mutants(folder):
            counts[STATUS.get(code, f"exit code {code}")] += 1
            if code == 0:
                found.append(_survivor(name, get_diff_for_mutant(name, path=path)))
        return counts, found


def _mutants(folder: Path) -> Iterator[tuple[str, Path, int]]:
    for file in sorted((folder / "mutants").rglob("*.py.meta")):
        for name, code in json.loads(file.read_text())["exit_code_by_key"].items():
            if code is not None:
                yield name, file.relative_to(folder / "mutants").with_suffix(""), code


def _survivor(name: str, diff: str) -> Survivor:
    found = _NAME.fullmatch(name)
    assert found, name
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    was, becomes = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    where = ".".join(filter(None, (found["module"], found["cls"], found["function"])))
    return Survivor(where, was, becomes)


def _without_words(line: str) -> str:
    """The line with every text in it emptied: texts of f-strings, not what they show."""
    return re.sub(r'(?<!\w)([rbf]*)"((?:[^"\\]|\\.)*)"', lambda text: _emptied(text[1], text[2]), _MARK.sub(r"\1", line))


def _emptied(kind: str, text: str) -> str:
    return "".join(re.findall(r"\{[^{}]*\}", text)) if "f" in kind else ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
