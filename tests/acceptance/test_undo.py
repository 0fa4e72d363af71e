"""Whatever ends a session: is everything undone, and is it loud when it is not?"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

STUCK = """
from chaos.errors import Unreachable
from chaos.testing.behaviour import Behaviour
from chaos.testing.fake import fake_mesh
from chaos.testing.mesh import FakeMesh

class Stuck(FakeMesh):
    '''Takes an injection, and then nothing more.'''
    injected = False

    def apply(self, objects):
        if self.injected:
            raise Unreachable("the API server does not answer")
        super().apply(objects)
        self.injected = "x-envoy-fault-delay-request" in str([o for o in objects if o["metadata"]["name"].endswith("switch")])

    def set_runtime(self, *_):
        raise Unreachable("the proxy does not answer")

pytest_chaos_mesh = fake_mesh({"front": Behaviour(calls=("back",), patience="1s", fallback="sorry")}, Stuck)
"""
INTERRUPTED = """
import os, signal
def test_interrupted(inject, load):
    with load("/", rate="20/s") as traffic, inject(delay("2s"), "front -> back"):
        traffic.window("1s")
        SIGNAL
        traffic.window("1s")
def test_next(load): ...
"""
INJECTED = """
def test_injected(faulted):
    expect(faulted(delay("2s"))).to_respond_within("1500ms", at="p50")
"""


def events(project: Path) -> list[str]:
    (file,) = project.glob("reports/runs/*/events-*.jsonl")
    return [json.loads(line)["event"] for line in file.read_text().splitlines()]


def journals(project: Path) -> list[Path]:
    return list(project.glob("state/istio-chaos/*.journal"))


def test_an_undo_that_fails_is_louder_than_all_else(shop_apart, project, pytester):
    pytester.makeconftest(STUCK)
    result = shop_apart(INJECTED)

    assert result.ret == 16
    result.stdout.fnmatch_lines(
        [
            "*UndoFailed: delay 2s on front -> back (caller side) may still be in force in front*: the API server**",
            "✗ undo failed * test_injected *",
            "*!!! UNDO FAILED !!!*",
            "*may still be in force in front*Run `istio-chaos sweep`*",
        ]
    )


def test_it_is_so_after_an_interrupt(shop_apart, project, pytester):
    pytester.makeconftest(STUCK)
    result = shop_apart(INTERRUPTED.replace("SIGNAL", "raise KeyboardInterrupt"))

    assert result.ret == 16
    result.stdout.fnmatch_lines(["*!!! UNDO FAILED !!!*", "*may still be in force*", "! KeyboardInterrupt"])
    result.stderr.no_fnmatch_line("*Traceback*")


def test_it_is_so_in_a_worker(shop_apart, project, pytester):
    pytester.makeconftest(STUCK)
    result = shop_apart(INJECTED, "-p", "xdist", "-n1")

    assert result.ret == 16
    result.stdout.fnmatch_lines(["✗ undo failed * test_injected *", "*!!! UNDO FAILED !!!*", "*may still be in force*"])


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        pytest.param("os.kill(os.getpid(), signal.SIGTERM)", 128 + signal.SIGTERM, id="SIGTERM"),
        pytest.param("os.kill(os.getpid(), signal.SIGINT)", 2, id="SIGINT"),
    ],
)
def test_a_signal_ends_the_session_in_order(shop_apart, project, ended, status):
    result = shop_apart(INTERRUPTED.replace("SIGNAL", ended))

    assert result.ret == status
    assert events(project).count("InjectionProven") == events(project).count("InjectionGone") == 1
    assert events(project)[-1] == "RunFinished"
    assert journals(project) == []
    result.stdout.fnmatch_lines(["! interrupted * test_interrupted *", "report: *", "*!!! KeyboardInterrupt* !!!*"])
    result.stdout.no_fnmatch_line("*test_next*")


def test_an_undone_injection_may_be_left_to_the_end_of_the_test(shop, project):
    """Not in a with block, and before the load in the test's arguments."""
    result = shop(
        """
def test_open_end(inject, load):
    traffic = load("/", rate="20/s").__enter__()
    inject(delay("2s"), "front -> back").__enter__()
    assert traffic.window("1s").requests
"""
    )

    result.assert_outcomes(passed=1)
    assert events(project)[-3:] == ["InjectionGone", "ExperimentFinished", "RunFinished"]
    assert journals(project) == []


def test_what_a_dead_run_left_is_swept_first(shop, project):
    state = project / "state" / "istio-chaos"
    state.mkdir(parents=True)
    (state / "0123456789ab-1.journal").write_text(json.dumps({"run": "0123456789ab", "pid": 2**22 + 1, "started": 1}) + "\n")
    result = shop(INJECTED)

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["istio-chaos: swept run 0123456789ab: *", "istio-chaos: 1 experiment on the fake mesh*"])
    assert journals(project) == []


def test_a_lease_timeout_that_is_none_is_refused(shop, project):
    result = shop(INJECTED, "--chaos-lease-timeout=soon")

    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--chaos-lease-timeout*soon*"])


def test_what_cannot_be_swept_is_said_and_kept(shop, project):
    """A context that nobody knows any more."""
    state = project / "state" / "istio-chaos"
    state.mkdir(parents=True)
    journal = state / "0123456789ab-1.journal"
    reach = {"context": "gone", "kubeconfig": str(project / "none"), "server": "https://gone", "namespaces": "shop"}
    entries = [
        {"run": "0123456789ab", "pid": 2**22 + 1, "started": 1},
        {"mesh": {"kind": "cluster", "name": "gone"}, "reach": reach},
        {"writing": [["shop", "istio-chaos-0123456789ab-1-switch"]]},
    ]
    journal.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    result = shop(INJECTED)

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["istio-chaos: NOT UNDONE: run 0123456789ab on gone could not be undone, and its journal * stays: *"]
    )
    assert journals(project) == [journal]


def test_a_failure_of_the_body_stays_the_failure(shop_apart, project, pytester):
    pytester.makeconftest(STUCK)
    result = shop_apart(
        """
def test_body(inject, load):
    with load("/", rate="20/s") as traffic, inject(delay("2s"), "front -> back"):
        raise RuntimeError("out of paper")
"""
    )

    assert result.ret == 16
    result.stdout.fnmatch_lines(["E*RuntimeError: out of paper", "E*delay 2s on front -> back * may still be in force*"])
