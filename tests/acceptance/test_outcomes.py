"""What does pytest say of an experiment? Every outcome, as it is printed and as it is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pytest_chaos import options

from chaos.model.standards import Standards

HELD = """
def test_held(faulted):
    expect(faulted(delay("2s"))).to_return(containing="sorry", at_least="80%")
"""
VIOLATED = """
def test_violated(faulted):
    expect(faulted(delay("2s"))).to_respond_within("500ms", at="p50")
"""
INCONCLUSIVE = """
def test_inconclusive(load, inject):
    with load("/", rate="20/s") as traffic, inject(delay("2s"), "front -> back"):
        during = traffic.window("200ms")
    expect(during).to_respond_within("500ms", at="p95")
"""
KNOWN = """
@pytest.mark.xfail(raises=Violated, strict=True, reason="nobody set a timeout")
def test_known(faulted):
    expect(faulted(delay("800ms"))).to_respond_within("500ms", at="p50")
"""
NO_CLAIM = """
def test_no_claim(load):
    with load("/", rate="20/s") as traffic:
        traffic.window("1s")
"""
BROKEN = """
def test_broken(load):
    raise RuntimeError("out of paper")
"""


def outcomes(project: Path) -> dict[str, str]:
    """Name -> outcome, from the one report.json."""
    (file,) = project.glob("reports/runs/*/report.json")
    return {each["name"].partition("::")[2]: each["outcome"] for each in json.loads(file.read_text())["experiments"]}


def test_every_outcome_has_its_name(shop, project):
    result = shop(HELD + VIOLATED + INCONCLUSIVE + KNOWN + NO_CLAIM + BROKEN)

    assert result.ret == 1
    assert outcomes(project) == {
        "test_held": "held",
        "test_violated": "violated",
        "test_inconclusive": "inconclusive",
        "test_known": "known weakness",
        "test_no_claim": "no claim",
        "test_broken": "failed",
    }
    result.stdout.fnmatch_lines(
        [
            "istio-chaos: 6 experiments on the fake mesh, run ????????????",
            "topology: chaos.yaml",
            "test_shop.py .FIxNF*",
            "*= FAILURES =*",
            "*_ test_violated _*",
            "E * chaos.errors.Violated: window 2 of / (fault): to_respond_within*",
            "*= INCONCLUSIVE =*",
            "*_ test_inconclusive _*",
            ">*expect(during).to_respond_within*",
            "E * chaos.errors.Inconclusive: *",
            "*= NO CLAIM =*",
            "*_ test_no_claim _*",
            "NoClaim: nothing was claimed*",
            "*= resilience =*",
            "✓ held * test_held * 99 * 1 s * 0.0% *",
            "* delay 2s on front -> back (caller side)",
            "✗ violated * test_violated*",
            "[?] inconclusive * test_inconclusive*",
            "~ known weakness * test_known*",
            "[?] no claim * test_no_claim*",
            "✗ failed * test_broken*",
            "violated: test_violated",
            "  window 2 of / (fault): to_respond_within(*",
            "known weakness: test_known",
            "  nobody set a timeout: window 2 of / (fault)*",
            "  RuntimeError: out of paper",
            "report: reports/runs/*/report.json",
            "*= 2 failed, 1 passed, 1 xfailed, 1 inconclusive, 1 no claim in *",
        ]
    )


@pytest.mark.parametrize("mark", ["xfail", "xfail(strict=True)", "xfail(raises=Violated, strict=True)"])
@pytest.mark.parametrize("outcome", ["inconclusive", "no claim"])
def test_no_mark_turns_missing_evidence_into_something_expected(shop, project, mark, outcome):
    test = {"inconclusive": INCONCLUSIVE, "no claim": NO_CLAIM}[outcome]
    result = shop(f"pytestmark = pytest.mark.{mark}\n{test}")

    assert result.ret == 1
    assert list(outcomes(project).values()) == [outcome]
    result.stdout.fnmatch_lines([f"*= 1 {outcome} in *"])


def test_a_weakness_that_is_gone_is_told(shop, project):
    result = shop(HELD.replace("def ", '@pytest.mark.xfail(raises=Violated, strict=True, reason="slow")\ndef '))

    assert result.ret == 1
    assert outcomes(project) == {"test_held": "weakness gone"}
    result.stdout.fnmatch_lines(["! weakness gone * test_held*", "  [[]XPASS(strict)] slow"])


def test_whoever_stops_at_the_first_failure_stops_at_inconclusive(shop, project):
    result = shop(INCONCLUSIVE + HELD, "-x")

    assert result.ret == 1
    assert outcomes(project) == {"test_inconclusive": "inconclusive"}
    result.stdout.fnmatch_lines(["*stopping after 1 failures*"])


def test_last_failed_and_junit_count_it_as_a_failure(shop, pytester):
    result = shop(INCONCLUSIVE + HELD, "--junitxml=junit.xml", "--tb=no")
    again = pytester.runpytest_inprocess("-p", "pytest_chaos", "--chaos-mesh=fake", "--lf", "--collect-only", "-q")

    assert result.ret == 1
    assert 'failures="1"' in (pytester.path / "junit.xml").read_text()
    again.stdout.fnmatch_lines(["test_shop.py::test_inconclusive"])
    again.stdout.no_fnmatch_line("*test_held")


@pytest.mark.parametrize(
    ("body", "outcome", "says"),
    [
        ("assert during.requests > 0", "held", "*1 passed*"),
        ("assert during.raw.requests == 99", "held", "*1 passed*"),
        ("assert during.error_share > 0", "violated", "E*assert 0 (share of errors in window 2 of / (fault)) > 0"),
        ("expect(during)", "failed", "ExperimentError: expect(window 2 of / (fault)) is followed by no claim*"),
        ("assert after.requests", "inconclusive", "*was injected, but nothing was claimed of a window under it*"),
        ("raise MeshFailure('a node died')", "inconclusive", "E*MeshFailure: a node died"),
    ],
)
def test_what_a_body_comes_to(shop, project, body, outcome, says):
    result = shop(
        f"""
from chaos.errors import MeshFailure
def test_body(inject, load):
    with load("/", rate="20/s") as traffic:
        with inject(delay("2s"), "front -> back"):
            during = traffic.window("5s")
        after = traffic.window("1s")
    {body}
"""
    )

    assert outcomes(project) == {"test_body": outcome}
    assert result.ret == (0 if outcome == "held" else 1)
    result.stdout.fnmatch_lines([says])


def test_soft_claims_are_raised_together_after_the_body(shop, project):
    result = shop(
        """
def test_soft(faulted, experiment):
    during = faulted(delay("2s"))
    expect(during, soft=True).to_respond_within("500ms", at="p50")
    expect(during, soft=True).to_return(containing="sorry", at_least="80%")
    expect(during, soft=True).to_return(containing="bread", at_least="80%")
    experiment.note("went on")

def test_soft_and_broken(faulted):
    expect(faulted(delay("2s")), soft=True).to_respond_within("500ms", at="p50")
    raise RuntimeError("out of paper")
"""
    )

    assert outcomes(project) == {"test_soft": "violated", "test_soft_and_broken": "failed"}
    result.stdout.fnmatch_lines(
        [
            "*ExceptionGroup: 2 soft claims did not hold (2 sub-exceptions)",
            "*Violated: window 2 of / (fault): to_respond_within(*",
            "*Violated: window 2 of / (fault): to_return(*bread*",
            "E*RuntimeError: out of paper",
            "E*soft claim that did not hold: window 2 of / (fault): to_respond_within(*",
        ]
    )
    (report,) = (json.loads(file.read_text()) for file in project.glob("reports/runs/*/report.json"))
    assert report["experiments"][0]["notes"] == ["went on"]
    assert [verdict["outcome"] for verdict in report["experiments"][0]["verdicts"]] == ["violated", "held", "violated"]


def test_tracebacks_end_in_the_test(shop):
    short = shop(VIOLATED)
    full = shop(VIOLATED, "--full-trace")

    short.stdout.no_fnmatch_line("*/claims/expect.py:*")
    full.stdout.fnmatch_lines(["*/claims/expect.py:*"])


def test_a_mesh_that_does_not_start_is_no_finding(shop, project, pytester):
    pytester.makeconftest(
        """
from chaos.errors import MeshFailure
def pytest_chaos_mesh(kind, topology):
    def opened(options):
        raise MeshFailure("no room for an Envoy")
    return opened
"""
    )
    result = shop(HELD + VIOLATED)

    assert result.ret == 1
    assert outcomes(project) == {"test_held": "inconclusive", "test_violated": "inconclusive"}
    result.stdout.fnmatch_lines(
        [
            "*_ setup of test_held _*",
            "E*MeshFailure: no room for an Envoy",
            "*_ setup of test_violated _*",
            "*= 2 inconclusive in *",
        ]
    )


def test_skipped_experiments_are_in_the_report(shop, project):
    result = shop("@pytest.mark.skip(reason='not today')\ndef test_skipped(load): ...\n")

    assert result.ret == 0
    assert outcomes(project) == {"test_skipped": "skipped"}


def test_an_expected_failure_of_the_test_is_no_weakness_of_the_system(shop, project):
    shop("@pytest.mark.xfail\n" + BROKEN.lstrip())

    assert outcomes(project) == {"test_broken": "expected failure"}


def test_standards_are_set_in_the_ini_file(shop, project, pytester):
    """100 requests are enough for 95 %, and for nobody who wants to be wrong once in 500 times."""
    steady = """
def test_steady(load):
    with load("/", rate="20/s") as traffic:
        expect(traffic.window("5s")).to_succeed()
"""
    pytester.makeini("[pytest]\nchaos_at_least = 95%\n")
    assert shop(steady).ret == 0
    pytester.makeini("[pytest]\nchaos_at_least = 95%\nchaos_false_held = 0.2%\n")
    result = shop(steady)

    assert result.ret == 1
    result.stdout.fnmatch_lines(["*with 99.8 % confidence*", "*too few*"])


def test_a_standard_that_is_none_is_refused_before_the_first_experiment(shop, pytester):
    pytester.makeini("[pytest]\nchaos_false_held = 5\n")

    result = shop(HELD)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(['*chaos_false_held is "5": write it with a percent sign*'])


def test_all_standards_can_be_set():
    assert set(options.STANDARDS) == set(Standards.__slots__)
