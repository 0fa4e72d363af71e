from __future__ import annotations

from pathlib import Path

import pytest

from chaos.errors import ConfigurationError
from chaos.mesh.cluster import kubeconfig
from tests.scripted_api import write_kubeconfig


def test_a_context_is_found_in_any_file_of_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = write_kubeconfig(tmp_path / "one", {"kind-a": "http://127.0.0.1:1"})
    two = write_kubeconfig(tmp_path / "two", {"staging": "http://127.0.0.1:2/"}, namespaces=["bookinfo"])
    monkeypatch.setenv("KUBECONFIG", f"{one}:{tmp_path / 'not-there'}:{two}")

    found = kubeconfig.access("staging")

    assert (found.context, found.server, found.namespace) == ("staging", "http://127.0.0.1:2", "bookinfo")
    assert kubeconfig.contexts() == ["kind-a", "staging"]
    assert kubeconfig.access("kind-a").namespace is None


def test_a_file_that_is_named_stands_over_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "one", {"a": "http://127.0.0.1:1"})))

    named = write_kubeconfig(tmp_path / "two", {"b": "http://127.0.0.1:2"})

    assert kubeconfig.contexts(named) == ["b"]


def test_an_unknown_context_names_the_nearest(tmp_path: Path) -> None:
    file = write_kubeconfig(tmp_path / "config", {"staging-eu": "http://127.0.0.1:1", "kind-a": "http://127.0.0.1:2"})

    with pytest.raises(ConfigurationError, match=r'no context "stagin-eu" in .*config; did you mean "staging-eu"'):
        kubeconfig.access("stagin-eu", file)


@pytest.mark.parametrize("text", ["", "[", "- 1", "contexts: 3", "{contexts: [{}]}", "\x00"])
def test_what_is_no_kubeconfig_is_said_to_be_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text)

    with pytest.raises(ConfigurationError, match=r"config.* cannot be read as a kubeconfig|no context"):
        kubeconfig.access("a", tmp_path / "config")


def test_without_a_file_nothing_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no kubeconfig at .*none.*--chaos-kubeconfig or KUBECONFIG.*in-cluster"):
        kubeconfig.access("a", tmp_path / "none")


def test_a_context_without_its_cluster_is_refused(tmp_path: Path) -> None:
    file = write_kubeconfig(tmp_path / "config", {"a": "http://127.0.0.1:1"})
    file.write_text(file.read_text().replace("cluster: a", "cluster: b"))

    with pytest.raises(ConfigurationError, match=r"context a in .* cannot be used: .*b"):
        kubeconfig.access("a", file)


def test_the_service_account_is_for_pods_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(ConfigurationError, match="does not run in a pod"):
        kubeconfig.access("in-cluster")
