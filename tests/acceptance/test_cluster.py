"""What does somebody read who runs experiments on a cluster that cannot be used? Refused before the first of them, with status 4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scripted_api import Reply, serving, status, write_kubeconfig

TEST = """
def test_one(load):
    raise AssertionError("never begun")
"""
TARGETS = """
targets: {staging: {context: staging-eu}, real: {context: eu-prod}}
allow: {contexts: [staging-eu, eu-prod], namespaces: [shop]}
"""
Tried = Callable[..., pytest.RunResult]


@pytest.fixture
def tried(shop: Callable[..., pytest.RunResult], project: Path) -> Tried:
    """`tried("http://...", options)`: with a kubeconfig whose contexts lead there."""
    with (project / "chaos.yaml").open("a") as topology:
        topology.write(TARGETS)

    def run(server: str, *options: str) -> pytest.RunResult:
        file = write_kubeconfig(project / "kubeconfig", {"staging-eu": server, "eu-prod": server, "other": server})
        return shop(TEST, "--chaos-mesh=cluster", f"--chaos-kubeconfig={file}", *options)

    return run


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "which cluster? Name one with --chaos-target=NAME (there are: real, staging)"),
        (["--chaos-target=stagin"], 'targets: no "stagin"; did you mean "staging"?'),
        (["--chaos-context=other"], "context other is not allowed; add it in"),
        (["--chaos-target=staging", "--chaos-namespace=bank"], "namespace bank is not allowed; add it in"),
        (["--chaos-target=real"], "the context eu-prod looks like production"),
    ],
)
def test_what_the_topology_does_not_allow_is_refused_before_anybody_is_asked(tried: Tried, options: list[str], said: str) -> None:
    with serving(Reply(status=500)) as api:
        result = tried(api.url, *options)

    assert result.ret == 4
    assert said in result.stderr.str()
    assert api.asked == []


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ([status(401, "Unauthorized")], "the credentials of this context have expired or are wrong; log in again"),
        (
            [Reply(body={"gitVersion": "v1.31.0"}), Reply(status=404)],
            "knows no EnvoyFilters (networking.istio.io/v1alpha3): is Istio",
        ),
        (
            [
                Reply(body={"gitVersion": "v1.31.0"}),
                Reply(body={"resources": [{"name": "envoyfilters"}]}),
                status(403, 'User "ci" cannot list resource "pods"'),
            ],
            'cannot list resource "pods". Add to a Role in shop: {apiGroups: [""], resources: [pods], verbs: [list]}',
        ),
    ],
    ids=["credentials", "no Istio", "no rights"],
)
def test_what_the_server_refuses_is_said(tried: Tried, replies: list[Reply], said: str) -> None:
    with serving(*replies) as api:
        result = tried(api.url, "--chaos-target=staging")

    assert result.ret == 4
    assert said in result.stderr.str()
    assert "context staging-eu" in result.stderr.str()


def test_a_server_that_is_not_there_is_unreachable(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    from chaos.mesh.cluster import kubeconfig
    from chaos.mesh.cluster.client import Client

    monkeypatch.setattr(
        Client, "connect", lambda context, *, kubeconfig_file: Client(kubeconfig.access(context, kubeconfig_file), patience=0.1)
    )

    result = tried("http://127.0.0.1:9", "--chaos-target=staging")

    assert result.ret == 4
    assert "the API server http://127.0.0.1:9 (context staging-eu) does not answer: " in result.stderr.str()
    assert "try: kubectl --context staging-eu version" in result.stderr.str()


def test_workers_are_refused(shop_apart: Callable[..., pytest.RunResult]) -> None:
    result = shop_apart(TEST, "--chaos-mesh=cluster", "-p", "xdist", "-n1")

    assert result.ret == 4
    assert "--chaos-mesh=cluster with -n: workers would inject on the same services at once" in result.stderr.str()
