"""Are experiments the same when xdist hands them out to several processes?"""

from __future__ import annotations

import json
import signal

import pytest

EXPERIMENTS = """
@pytest.mark.parametrize("n", range(4))
def test_many(faulted, n):
    assert faulted(delay("2s")).requests > 50

def test_short(inject, load):
    with load("/", rate="20/s") as traffic, inject(delay("2s"), "front -> back"):
        during = traffic.window("200ms")
    expect(during).to_respond_within("500ms", at="p95")

def test_plain():
    pass
"""
TWO = ("-p", "xdist", "-n2")


def test_one_run_and_one_report(shop_apart, project):
    result = shop_apart(EXPERIMENTS, *TWO)

    assert result.ret == 1
    (folder,) = project.glob("reports/runs/*")
    assert sorted(file.name for file in folder.iterdir()) == ["events-gw0.jsonl", "events-gw1.jsonl", "report.html", "report.json"]
    report = json.loads((folder / "report.json").read_text())
    assert report["run"]["id"] == folder.name
    assert sorted(report["run"]["processes"]) == ["gw0", "gw1"]
    assert report["outcomes"] == {"held": 4, "inconclusive": 1}
    result.stdout.fnmatch_lines(
        [
            "istio-chaos: experiments on the fake mesh, one for each worker, run *",
            "*= INCONCLUSIVE =*",
            "*_ test_short _*",
            "E*Inconclusive: *",
            "*= resilience =*",
            "*= 5 passed, 1 inconclusive in *",
        ]
    )


def test_the_error_budget_is_that_of_the_whole_run(shop_apart, project):
    body = "def test_budget{0}(faulted):\n    expect(faulted(delay('2s'))).to_respond_within('1500ms', at='p50')\n"
    together = shop_apart(body.format(1) + body.format(2), *TWO)

    together.assert_outcomes(passed=2)
    figures = [
        json.loads(line)["figures"]
        for file in project.glob("reports/runs/*/events-*.jsonl")
        for line in file.read_text().splitlines()
        if json.loads(line)["event"] == "VerdictGiven"
    ]
    assert [each["alpha_violated"] for each in figures] == [pytest.approx(0.05 / 2 / 2)] * 2


def test_refusals_arrive(shop_apart):
    result = shop_apart(EXPERIMENTS, *TWO, "--chaos-topology=nowhere.yaml")

    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: *nowhere.yaml: cannot be read*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_a_session_without_experiments_leaves_nothing(shop_apart, project):
    shop_apart("def test_plain(): ...\n", *TWO).assert_outcomes(passed=1)

    assert not (project / "reports").exists()


def test_a_killed_worker_leaves_nothing_behind(shop_apart, project):
    result = shop_apart(
        """
import os, signal
def test_killed(inject, load):
    with load("/", rate="20/s") as traffic, inject(delay("2s"), "front -> back"):
        traffic.window("1s")
        os.kill(os.getpid(), signal.SIGKILL)
""",
        "-p", "xdist", "-n1", "--max-worker-restart=0",
    )  # fmt: skip

    assert result.ret == 1
    assert list(project.glob("state/istio-chaos/*.journal")) == []
    result.stdout.fnmatch_lines(["*worker 'gw0' crashed*", "! interrupted * test_killed *"])


def test_sigterm_to_the_controller_ends_the_session_with_a_report(shop_apart, project):
    result = shop_apart(
        """
import os, signal
def test_first(load):
    assert True
def test_terminated(load):
    os.kill(os.getppid(), signal.SIGTERM)
    signal.pause()
""",
        "-p", "xdist", "-n1",
    )  # fmt: skip

    assert result.ret == 128 + signal.SIGTERM
    assert len(list(project.glob("reports/runs/*/report.json"))) == 1
    assert list(project.glob("state/istio-chaos/*.journal")) == []
