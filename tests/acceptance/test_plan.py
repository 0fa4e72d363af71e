"""What does somebody read who asks first? `--chaos-plan`: every experiment is told, and nothing is changed, sent or left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

PLAN = "--chaos-plan"
READS = """
def test_reads(faulted):
    during = faulted(delay("2s", percent=30))
    expect(during).to_succeed()
    assert during.latency("p95") < 1.5
    raise AssertionError("a plan has no numbers")
"""
WHOLE = """
def test_whole(faulted):
    expect(faulted(delay("2s"))).to_respond_within("500ms", at="p50")
"""
WEAKNESS = """
@pytest.mark.xfail(raises=Violated, strict=True, reason="nobody set a timeout")
def test_weakness(faulted):
    during = faulted(abort(503))
    expect(during).to_succeed(at_least="90%")

@pytest.mark.xfail(strict=True)
def test_weakness_that_reads(faulted):
    assert faulted(abort(503)).errors == 0
"""
REFUSED = """
def test_too_hard(load):
    with load("/", rate="9000/s") as traffic:
        traffic.window("1s")

@pytest.mark.xfail(reason="must not hide it")
def test_everybody(load, inject):
    with load("/", rate="20/s") as traffic, inject(abort(503), "front -> back", traffic="all"):
        expect(traffic.window("10s")).to_succeed()
"""


def report(project: Path) -> dict[str, Any]:
    (file,) = project.glob("reports/runs/*/report.json")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def outcomes(project: Path) -> dict[str, str]:
    return {each["name"].partition("::")[2]: each["outcome"] for each in report(project)["experiments"]}


def test_it_is_told_under_each_experiment(shop, project):
    result = shop(READS + WHOLE, PLAN)

    assert result.ret == 0
    assert outcomes(project) == {"test_reads": "planned", "test_whole": "planned"}
    result.stdout.fnmatch_lines(
        [
            "istio-chaos: PLAN of 2 experiments on the fake mesh, run ????????????: nothing is changed and nothing is sent",
            "test_shop.py pp*",
            "*= plan =*",
            "✓ planned: test_shop.py::test_reads",
            "  load on / at 20/s by istio-chaos-load.shop: 10.5 s, 210 requests",
            "  private path on front -> back, in front.shop",
            "    policy in effect: *",
            "    would write EnvoyFilter shop/istio-chaos-RUN-2-{stage,switch},*",
            "  window 1 of /: 3 s, 60 requests",
            "  fault 1: delay 2s at 30% on front -> back, at the caller",
            "    hits 30 % of own traffic on this edge, in front.shop",
            "    why the caller: no policy of this edge would act on it,*",
            "    proven by 20 attempts or more",
            "    ends by itself after 600 s",
            "  window 2 of /: 5 s, 100 requests, under fault 1",
            '  claim on window 2 of /: to_succeed(at_least="99%") needs 299 requests if*',
            "    ! needs 299, planned 100: would be inconclusive",
            '  planned up to here: test_shop.py:*: assert during.latency("p95") < 1.5',
            "  it reads the numbers of window 2 of /",
            "✓ planned: test_shop.py::test_whole",
            "  planned to its end",
            "2 experiments, 2 faults on 1 edge, 420 requests in 21 s of load; nothing was*",
            "report: reports/runs/*/report.json",
            "*= 2 planned in *",
        ]
    )
    assert "resilience" not in result.stdout.str()


def test_nothing_is_left_behind_and_nothing_was_begun(shop, project, monkeypatch):
    def started(*_: object, **__: object) -> None:
        raise AssertionError("a plan has nothing to protect")

    monkeypatch.setattr("chaos.run.watchdog.start", started)
    monkeypatch.setattr("chaos.run.run.Journal.opened", started)
    monkeypatch.setattr("chaos.testing.load.FakeGenerator.start", started)

    result = shop(WHOLE, PLAN)

    assert result.ret == 0
    assert [path for path in (project / "state").rglob("*") if path.is_file()] == []
    (folder,) = project.glob("reports/runs/*")
    assert {file.name for file in folder.iterdir()} == {"events-main.jsonl", "report.html", "report.json"}


def test_what_a_dead_run_left_is_told_and_stays(shop, project):
    state = project / "state" / "istio-chaos"
    state.mkdir(parents=True)
    journal = state / "0123456789ab-1.journal"
    journal.write_text(json.dumps({"run": "0123456789ab", "pid": 2**22 + 1, "started": 1}) + "\n")

    result = shop(WHOLE, PLAN)

    assert result.ret == 0
    result.stdout.fnmatch_lines(["istio-chaos: 0123456789ab-1.journal is of a run that died: the next run, or istio-chaos sweep*"])
    assert journal.exists()


def test_an_expected_failure_is_planned_as_any_other(shop, project):
    result = shop(WEAKNESS, PLAN)

    assert result.ret == 0
    assert outcomes(project) == {"test_weakness": "planned", "test_weakness_that_reads": "planned"}
    result.stdout.fnmatch_lines(["*= 2 planned in *"])


def test_what_is_not_allowed_is_refused_with_the_line_to_add(shop, project):
    result = shop(REFUSED + WHOLE, PLAN)

    assert result.ret == 4
    assert outcomes(project) == {"test_too_hard": "refused", "test_everybody": "refused", "test_whole": "planned"}
    result.stdout.fnmatch_lines(
        [
            "test_shop.py RRp*",
            "*= REFUSED =*",
            "*_ test_too_hard _*",
            "*NotAllowed: load at 9000/s: at most 500/s is allowed; raise it in *",
            "✗ refused: test_shop.py::test_everybody",
            "*allow: {traffic: [[]own, all[]]}*",
            "*= 2 refused, 1 planned in *",
        ]
    )


def test_the_stop_switch_is_a_refusal(shop, project):
    conftest = project / "conftest.py"
    conftest.write_text(
        conftest.read_text()
        .replace(
            "pytest_chaos_mesh =",
            "from chaos.testing.mesh import FakeMesh\n\nclass Stopped(FakeMesh):\n    def stopped(self):\n"
            '        return "the stop switch is set: game day is over"\n\npytest_chaos_mesh =',
        )
        .replace('fallback="sorry")}', 'fallback="sorry")}, Stopped')
    )

    result = shop(WHOLE, PLAN)

    assert result.ret == 4
    assert outcomes(project) == {"test_whole": "refused"}
    result.stdout.fnmatch_lines(
        [
            "*= REFUSED =*",
            "front -> back: the stop switch is set: game day is over",
            "planned to its end",
            "✗ refused: test_shop.py::test_whole",
            "  ! REFUSED, if it were a run: front -> back: the stop switch is set: game day",
            "  fault 1: delay 2s on front -> back, at the caller",
        ]
    )


def test_a_broken_test_is_broken(shop, project):
    result = shop('def test_broken(inject):\n    inject(delay("0s"), "front -> back")\n', PLAN)

    assert result.ret == 1
    assert outcomes(project) == {"test_broken": "failed"}


def test_what_would_be_no_experiment_is_told(shop):
    unclaimed = """
def test_unclaimed(load, inject):
    with load("/", rate="20/s") as traffic:
        steady = traffic.window("5s")
        with inject(delay("2s"), "front -> back"):
            traffic.window("5s")
    expect(steady).to_succeed(at_least="90%")

def test_nothing(load):
    with load("/", rate="20/s") as traffic:
        traffic.window("5s")
"""
    result = shop(unclaimed, PLAN)

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "  ! delay 2s on front -> back (caller side) was injected, but nothing was",
            "  ! nothing was claimed and no number of a window was read*",
        ]
    )


def test_a_number_that_a_fixture_reads_ends_the_plan_too(shop, project):
    fixture = """
@pytest.fixture
def errors(faulted):
    return faulted(abort(503)).errors

def test_by_fixture(errors):
    raise AssertionError("never begun")
"""
    result = shop(fixture, PLAN)

    assert result.ret == 0
    assert outcomes(project) == {"test_by_fixture": "planned"}
    result.stdout.fnmatch_lines(["  planned up to here: test_shop.py:*: return faulted(abort(503)).errors"])


def test_nothing_in_a_test_takes_the_end_for_an_error(shop, project):
    handles = """
from chaos.errors import Inconclusive

def test_handles(faulted):
    during = faulted(abort(503))
    try:
        during.requests
    except Exception:
        raise AssertionError("handled")

def test_expects(faulted):
    with pytest.raises(Inconclusive):
        faulted(abort(503)).edge("front -> back").attempts

def test_verdict(faulted):
    verdict = expect(faulted(abort(503)), soft=True).to_succeed(at_least="90%")
    assert verdict.requests > 10
"""
    result = shop(handles, PLAN)

    assert result.ret == 0
    assert set(outcomes(project).values()) == {"planned"}
    result.stdout.fnmatch_lines(['  it reads the verdict of to_succeed(at_least="90%") on window 2 of /'])


def test_reports_of_a_plan(shop, project):
    result = shop(READS + REFUSED, PLAN, "--junitxml=junit.xml")

    assert result.ret == 4
    cases = {case.attrib["name"]: case for case in ElementTree.parse(project / "junit.xml").iter("testcase")}
    assert {name: [child.tag for child in case] for name, case in cases.items()} == {
        "test_reads": ["skipped"],
        "test_too_hard": ["failure"],
        "test_everybody": ["failure"],
    }
    assert cases["test_reads"][0].attrib["message"].startswith("planned up to here: test_shop.py:")
    (reads, *_) = report(project)["experiments"]
    assert [event["event"] for event in reads["plan"]] == [
        "LoadPlanned",
        "PathPlanned",
        "WindowPlanned",
        "InjectionPlanned",
        "WindowPlanned",
        "ClaimPlanned",
    ]
    _, path, _, injection, *_ = reads["plan"]
    assert injection["share"] == pytest.approx(0.3)
    assert path["objects"] == [
        "EnvoyFilter shop/istio-chaos-RUN-2-stage",
        "EnvoyFilter shop/istio-chaos-RUN-2-switch",
        "Lease shop/istio-chaos.back.shop.svc.cluster.local",
    ]
    assert (reads["windows"], reads["injections"], reads["verdicts"], reads["loads"]) == ([], [], [], [])
    (page,) = project.glob("reports/runs/*/report.html")
    assert "fault 1: delay 2s at 30% on front -&gt; back, at the caller" in page.read_text()


def test_workers_plan_as_one_process_does(shop_apart, project):
    result = shop_apart(READS + WHOLE + REFUSED, PLAN, "-p", "xdist", "-n2")

    assert result.ret == 4
    assert report(project)["outcomes"] == {"planned": 2, "refused": 2}
    result.stdout.fnmatch_lines(["istio-chaos: PLAN of experiments on the fake mesh, one for each worker, run *", "*= plan =*"])


def test_other_tests_run_as_ever(shop):
    result = shop("def test_plain():\n    assert 1 + 1 == 2\n" + WHOLE, PLAN)

    assert result.ret == 0
    result.stdout.fnmatch_lines(["*= 1 passed, 1 planned in *"])
