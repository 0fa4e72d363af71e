"""Which tests are experiments, and what is said before the first of them starts?"""

from __future__ import annotations

import pytest

from tests.acceptance.shop import OPTIONS, TOPOLOGY

EXPERIMENT = """
def test_experiment(load):
    with load("/", rate="20/s") as traffic:
        assert traffic.window("1s").requests == 20
"""
PLAIN = """
def test_plain():
    pass
"""


def test_tests_without_our_fixtures_know_nothing_of_it(shop, project):
    (project / "chaos.yaml").unlink()
    result = shop(PLAIN, "--chaos-mesh=nonsense", "-m", "not chaos")

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("istio-chaos: *")
    result.stdout.no_fnmatch_line("*resilience*")
    assert not (project / "reports").exists()


def test_a_session_without_experiments_imports_nothing_of_the_library(project, pytester):
    pytester.makeconftest("")
    pytester.makepyfile(
        "import sys\n"
        "HEAVY = {'chaos', 'kubernetes', 'locust', 'gevent', 'httpx', 'pydantic', 'jinja2', 'yaml'}\n"
        "def test_plain(): assert {m.partition('.')[0] for m in sys.modules} & HEAVY == set()\n"
    )

    pytester.runpytest_subprocess(*OPTIONS).assert_outcomes(passed=1)


def test_experiments_have_the_marker(shop):
    result = shop(EXPERIMENT + PLAIN, "-m", "chaos", "--strict-markers")

    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(["istio-chaos: 1 experiment on the fake mesh*"])


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ("chaos('it survives')", "takes names, hypothesis=\"...\", and not 'it survives' alone"),
        ("chaos(hypotesis='it survives')", 'knows no hypotesis; did you mean "hypothesis"?'),
    ],
)
def test_a_mark_written_wrong_is_refused(shop, mark, says):
    result = shop(f"@pytest.mark.{mark}{EXPERIMENT}")

    assert result.ret == 4
    assert f"test_shop.py::test_experiment: @pytest.mark.chaos {says}" in result.stderr.str()


def test_the_hypothesis_is_in_the_report(shop, project):
    shop(f"@pytest.mark.chaos(hypothesis='it survives'){EXPERIMENT}")

    (report,) = project.glob("reports/runs/*/report.json")
    assert '"hypothesis": "it survives"' in report.read_text()


def test_options_and_marker_are_documented(project, pytester):
    shown = pytester.runpytest_inprocess(*OPTIONS, "--help")
    markers = pytester.runpytest_inprocess(*OPTIONS, "--markers")
    fixtures = pytester.runpytest_inprocess(*OPTIONS, "--fixtures")

    shown.stdout.fnmatch_lines(["resilience experiments (istio-chaos):", "*--chaos-mesh=KIND*", "*--chaos-topology=FILE*"])
    markers.stdout.fnmatch_lines(["@pytest.mark.chaos(hypothesis='', exclusive=False): a resilience experiment*"])
    fixtures.stdout.fnmatch_lines(["mesh *", "experiment *", "inject *", "load *"])


def test_it_is_switched_off_by_its_name(project, pytester):
    pytester.makeconftest('pytest_plugins = ["pytest_chaos"]')
    pytester.makepyfile(EXPERIMENT)
    result = pytester.runpytest_inprocess("-p", "no:pytest_chaos")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E*fixture 'load' not found"])


def test_a_checkout_that_loads_it_once_more_is_fine(shop, pytester, project):
    conftest = (project / "conftest.py").read_text()
    pytester.makeconftest('pytest_plugins = ["pytest_chaos"]\n' + conftest)

    shop(EXPERIMENT).assert_outcomes(passed=1)


def test_collecting_touches_nothing(shop, project):
    result = shop(EXPERIMENT, "--collect-only")

    assert result.ret == 0
    assert not (project / "reports").exists()
    assert not (project / "state").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--chaos-mesh=moon"], "ERROR: --chaos-mesh=moon: no such mesh; there are: local, cluster, kind"),
        (["--chaos-topology=elsewhere.yaml"], "ERROR: */elsewhere.yaml: cannot be read: *"),
    ],
    ids=["mesh", "topology"],
)
def test_what_cannot_be_is_refused_before_the_first_experiment(shop, options, says):
    result = shop(EXPERIMENT, *options)

    assert result.ret == 4
    result.stderr.fnmatch_lines([says])


def test_a_wrong_topology_is_refused_with_its_line(shop, project):
    (project / "chaos.yaml").write_text(TOPOLOGY.replace("entry", "entrance"))
    result = shop(EXPERIMENT)

    assert result.ret == 4
    result.stderr.fnmatch_lines(['*chaos.yaml:2: entrance: no such key; did you mean "entry"[?]'])


def test_an_experiment_without_topology_is_refused(shop, project):
    (project / "chaos.yaml").unlink()
    result = shop(EXPERIMENT + PLAIN)

    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: test_shop.py::test_experiment is an experiment, and there is no chaos.yaml in *"])


def test_the_nearest_topology_is_taken(shop, pytester, project):
    inner = pytester.mkpydir("inner")
    (inner / "chaos.yaml").write_text(TOPOLOGY.replace("shop.yaml", "../shop.yaml"))
    (inner / "test_inner.py").write_text(EXPERIMENT)

    both = shop(EXPERIMENT)
    one = shop(PLAIN)
    named = shop(EXPERIMENT, "--chaos-topology=inner/chaos.yaml")

    assert both.ret == 4
    both.stderr.fnmatch_lines(
        [
            "ERROR: one run has one topology, and these experiments have 2; *",
            "*/inner/chaos.yaml  for inner/*",
            "*/chaos.yaml  for test_shop.py::*",
        ]
    )
    one.stdout.fnmatch_lines(["topology: inner/chaos.yaml"])
    named.assert_outcomes(passed=2)


def test_the_topology_of_the_command_line_is_relative_to_where_one_stands(shop, project, pytester, monkeypatch):
    shop(EXPERIMENT)
    below = project / "below"
    below.mkdir()
    (project / "chaos.yaml").rename(below / "other.yaml")
    (below / "shop.yaml").write_text((project / "shop.yaml").read_text())
    monkeypatch.chdir(below)

    result = pytester.runpytest_inprocess(*OPTIONS, "--chaos-topology=other.yaml", f"--rootdir={project}", str(project))

    result.assert_outcomes(passed=1)


def test_the_ini_file_may_name_all_of_it(shop, project, pytester):
    (project / "chaos.yaml").rename(project / "elsewhere.yaml")
    pytester.makeini("[pytest]\nchaos_topology = elsewhere.yaml\nchaos_mesh = moon\nchaos_report = out\n")

    shop(EXPERIMENT).assert_outcomes(passed=1)
    assert len(list(project.glob("out/*/report.json"))) == 1


@pytest.mark.parametrize("test", ["def test_experiment(load): ...\n", "from chaos import delay\n"], ids=["used", "imported"])
def test_a_strange_chaos_package_stops_the_session_with_both_paths(project, pytester, test):
    pytester.makeconftest("")
    pytester.mkpydir("chaos")
    pytester.makepyfile(test_shop=test)
    result = pytester.runpytest_subprocess("-p", "pytest_chaos", "--rootdir=.", "-o", "pythonpath=.")

    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: the package chaos that Python finds is */chaos, and experiments need * */chaos: *"])


def test_locust_in_the_process_stops_the_session(project, pytester):
    pytester.makepyfile(locust="")
    pytester.makepyfile(test_shop="import locust\n" + EXPERIMENT)
    result = pytester.runpytest_subprocess(*OPTIONS)

    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: locust is imported in the process that runs pytest*"])


def test_faults_and_edges_have_readable_ids(shop):
    result = shop(
        """
from chaos import Edge
@pytest.mark.parametrize("edge", [Edge.of("front -> back")])
@pytest.mark.parametrize("fault", [delay("2s"), abort(503, percent=50), delay("1s") + abort(grpc="UNAVAILABLE"), 7])
def test_ids(fault, edge): ...
""",
        "-v",
    )

    for name in ("delay-2s-front->back", "abort-503-50%-front->back", "delay-1s+abort-UNAVAILABLE-front->back", "7-front->back"):
        result.stdout.fnmatch_lines([f"test_shop.py::test_ids[[]{name}] PASSED*"])


def test_fixtures_cannot_be_asked_for_behind_the_back(shop):
    result = shop("def test_sly(request):\n    request.getfixturevalue('load')\n")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*have to be among a test's arguments*"])


def test_the_fixtures_show_what_a_test_needs(shop):
    shop(
        """
from chaos import Edge, Experiment, Inject, Load, Mesh
from chaos.errors import InvalidValue

def test_all(mesh, experiment, inject, load):
    assert (type(mesh), type(experiment), type(inject), type(load)) == (Mesh, Experiment, Inject, Load)
    assert {s.name for s in mesh.services} == {"front", "back"}
    assert {p.workload for p in mesh.pods} == {"front", "back", "istio-chaos-load"}
    assert mesh.edge("front -> back") == Edge.of("front -> back")
    with pytest.raises(InvalidValue, match='did you mean "back"'):
        mesh.edge("front -> bakc")
    assert experiment.name == "test_shop.py::test_all"
    assert len(experiment.run) == 12
    with load("/", rate="20/s", own=False) as bystanders, load("/", users=1, method="POST", body={"a": 1}) as traffic:
        with inject(abort(503), "front -> back"):
            hit, spared = traffic.window("3s"), bystanders.window("3s")
    expect(hit).to_return(containing="sorry", at_least="50%")
    assert spared.requests == 60
    expect(spared).to_return(containing="ok", at_least="50%")
"""
    ).assert_outcomes(passed=1)
