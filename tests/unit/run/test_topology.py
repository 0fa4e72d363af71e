from pathlib import Path

import pytest

from chaos.errors import TopologyError
from chaos.run import topology

WHOLE = """\
local:
  manifests: [manifests]
  workloads:
    shop/web: {command: [python, -m, web], env: {A: b}}
  istio: "1.28"
entry: {service: web, namespace: shop, port: 8080}
targets:
  staging: {context: staging-eu, namespace: shop, prometheus: "http://prometheus.example:9090"}
allow: {contexts: [kind-*], namespaces: [shop, pay-*], max_percent: 50, max_duration: 5m, max_rate: 100/s, traffic: [own, all]}
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "chaos.yaml"
    file.write_text(text)
    (folder / "manifests").mkdir(exist_ok=True)
    return file


def test_a_whole_topology(tmp_path: Path) -> None:
    read = topology.load(write(tmp_path, WHOLE))

    assert read.local is not None
    assert read.local.manifests == (tmp_path / "manifests",)
    assert read.local.workloads["shop/web"].command == ("python", "-m", "web")
    assert read.local.workloads["shop/web"].cwd == tmp_path
    assert read.local.istio == "1.28"
    assert (read.entry.service, read.entry.namespace, read.entry.port) == ("web", "shop", 8080)
    assert read.targets["staging"].context == "staging-eu"
    assert read.targets["staging"].prometheus == "http://prometheus.example:9090"
    assert (read.allow.max_percent, read.allow.max_duration, read.allow.max_rate) == (50, 300, 100)
    assert read.allow.namespace("pay-eu") and not read.allow.namespace("billing")


def test_without_a_guard_only_the_entrys_own_namespace_and_own_traffic_are_allowed(tmp_path: Path) -> None:
    read = topology.load(write(tmp_path, "local: {manifests: [manifests]}\nentry: {service: web, namespace: shop, port: 80}\n"))

    assert read.allow.namespaces == ("shop",)
    assert read.allow.traffic == ("own",)
    assert read.allow.max_duration == 600


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("allow: {contexts", "alow: {contexts"), 'chaos.yaml:9: alow: no such key; did you mean "allow"?'),
        (("max_percent: 50", "max_percents: 50"), 'allow.max_percents: no such key; did you mean "max_percent"?'),
        (("max_percent: 50", "max_percent: 0"), "chaos.yaml:9: allow.max_percent is 0: it lies between 0.0001 and 100"),
        (("max_duration: 5m", 'max_duration: "500"'), 'did you mean "500ms" or "500s"'),
        (('"http://prometheus.example:9090"', '"prometheus:9090"'), "chaos.yaml:8: 'prometheus:9090' is no address of a server"),
        (("max_rate: 100/s", "max_rate: fast"), 'write "100/s" or "30/m"'),
        (("traffic: [own, all]", "traffic: [everybody]"), "allow.traffic[0] is 'everybody': input should be 'own' or 'all'"),
        (("port: 8080", 'port: "8080"'), "chaos.yaml:6: entry.port is '8080': write a whole number, without quotes"),
        (("port: 8080", "port: 80800"), "chaos.yaml:6: entry.port is 80800: input should be less than or equal to 65535"),
        (("command: [python, -m, web]", "command: web"), "local.workloads.shop/web.command is 'web': write a list, [...]"),
        (("env: {A: b}", "env: {A: 1}"), "local.workloads.shop/web.env.A is 1: write a text, in quotes where it looks"),
        (("env: {A: b}", "cwd: nowhere"), "chaos.yaml:4: local.workloads.shop/web.cwd: there is no folder /"),
        (
            ("{command: [python, -m, web], env", "{comand: [python], env"),
            "chaos.yaml:4: local.workloads.shop/web.command: is missing",
        ),
        (("entry: {service: web, ", "entry: {"), "chaos.yaml:6: entry.service: is missing"),
        (("manifests: [manifests]", "manifests: manifests"), "chaos.yaml:2: local.manifests is 'manifests': write a list, [...]"),
        (("[manifests]", "[manifests, more]"), "chaos.yaml:2: local.manifests[1]: there is no file or folder /"),
        ((':9090"}\n', ':9090"\n'), "not valid YAML"),
        (('"1.28"', "1.30"), 'chaos.yaml:5: local.istio is 1.3: write it in quotes, "1.29"; YAML takes 1.30 for the number 1.3'),
        (('"1.28"', '"1.28.2"'), "chaos.yaml:5: local.istio is '1.28.2': the minor versions of Istio known here are 1.23 to 1.32"),
    ],
    ids=lambda value: value[1][:24] if isinstance(value, tuple) else None,
)
def test_every_mistake_is_told_with_file_line_and_key(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    assert change[0] in WHOLE
    file = write(tmp_path, WHOLE.replace(*change))

    with pytest.raises(TopologyError) as refused:
        topology.load(file)

    assert says in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_topology_without_a_mesh_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="neither local nor targets"):
        topology.load(write(tmp_path, "entry: {service: web, port: 80}\n"))


def test_an_empty_or_absent_file(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="one YAML mapping"):
        topology.load(write(tmp_path, ""))
    with pytest.raises(TopologyError, match="cannot be read"):
        topology.load(tmp_path / "nowhere.yaml")


def test_the_nearest_topology_up_to_the_root_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    outer = write(tmp_path, WHOLE)
    assert topology.find(inner, tmp_path) == outer

    nearer = write(tmp_path / "a", WHOLE)
    assert topology.find(inner, tmp_path) == nearer
    assert topology.find(inner, inner) is None
