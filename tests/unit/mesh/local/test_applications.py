"""What does an application find in its environment and on its command line?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from chaos.errors import ManifestError
from chaos.mesh.local.applications import command, environment
from chaos.mesh.local.instances import offered_services
from tests.meshes import MANIFESTS

Find = Callable[..., Any]


def of(find: Find, pod: str = "web", *, inherited: Mapping[str, str] | None = None, **changes: Any) -> dict[str, str]:
    world, found, _ = find(**changes)
    instance = found[pod]
    return environment(
        instance, instance.applications[0], world=world, services=offered_services(world), inherited=inherited or {}, run="r1"
    )


def with_env(*lines: str) -> str:
    return MANIFESTS.replace('env: [{name: COLOUR, value: "green"}]', "env:\n" + "\n".join(f"        - {line}" for line in lines))


def test_calls_leave_by_the_sidecar_and_by_no_other_way(find: Find) -> None:
    names = ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")

    env = of(find, inherited={**dict.fromkeys(names, "elsewhere"), "HOME": "/home/me"})

    proxies = {name: env[name] for name in names if name in env}
    assert proxies == dict.fromkeys(("HTTP_PROXY", "http_proxy"), "http://127.5.1.1:15001")
    assert env["HOME"] == "/home/me"


def test_it_knows_who_it_is_and_where_to_listen(find: Find) -> None:
    told = {
        "HOST": "127.5.2.2", "PORT": "9000", "POD_NAME": "store-0", "POD_NAMESPACE": "shop", "POD_IP": "127.5.2.1",
        "SERVICE_VERSION": "v1", "PYTHONUNBUFFERED": "1", "ISTIO_CHAOS_RUN": "r1",
    }  # fmt: skip

    assert told.items() <= of(find, "store-0", inherited={"HOST": "example", "PORT": "1"}).items()


def test_services_are_named_as_the_kubelet_names_them(find: Find) -> None:
    env = of(find, lowest=1024)

    named = {name: value for name, value in env.items() if name.startswith("STORE_")}
    assert named == {
        "STORE_SERVICE_HOST": "127.5.1.10",
        "STORE_SERVICE_PORT": "20080",
        "STORE_SERVICE_PORT_HTTP": "20080",
        "STORE_SERVICE_PORT_TCP_RAW": "7000",
        "STORE_PORT": "tcp://127.5.1.10:20080",
        "STORE_PORT_80_TCP": "tcp://127.5.1.10:20080",
        "STORE_PORT_80_TCP_PROTO": "tcp",
        "STORE_PORT_80_TCP_PORT": "20080",
        "STORE_PORT_80_TCP_ADDR": "127.5.1.10",
        "STORE_PORT_7000_TCP": "tcp://127.5.1.10:7000",
        "STORE_PORT_7000_TCP_PROTO": "tcp",
        "STORE_PORT_7000_TCP_PORT": "7000",
        "STORE_PORT_7000_TCP_ADDR": "127.5.1.10",
    }


def test_the_manifest_is_read_as_kubernetes_reads_it(find: Find) -> None:
    config = "\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop}\ndata: {level: debug, other: x}\n"
    secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\ndata: {word: c2VzYW1l}\n"
    manifests = with_env(
        "{name: A, value: 1}",
        "{name: B, value: '$(A)-$(UNKNOWN)-$$(A)'}",
        "{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}",
        "{name: APP, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}",
        "{name: LEVEL, valueFrom: {configMapKeyRef: {name: c, key: level}}}",
        "{name: WORD, valueFrom: {secretKeyRef: {name: s, key: word}}}",
        "{name: NONE, valueFrom: {secretKeyRef: {name: missing, key: word, optional: true}}}",
    ).replace(
        "        ports: [{containerPort: 8080}]",
        "        envFrom: [{configMapRef: {name: c}, prefix: C_}]\n        ports: [{containerPort: 8080}]",
    )

    env = of(find, manifests=manifests + config + secret)

    expected = {
        "A": "1", "B": "1-$(UNKNOWN)-$(A)", "NODE": "node-0", "APP": "web", "LEVEL": "debug", "WORD": "sesame",
        "C_level": "debug", "C_other": "x",
    }  # fmt: skip
    assert expected.items() <= env.items()
    assert "NONE" not in env


@pytest.mark.parametrize(
    "line",
    [
        "{name: X, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}",
        "{name: X, valueFrom: {configMapKeyRef: {name: c, key: k}}}",
    ],
)
def test_a_value_that_is_not_here_is_refused_unless_the_topology_has_one(find: Find, line: str) -> None:
    manifests = with_env(line)

    with pytest.raises(
        ManifestError, match=r"(?s)shop\.yaml:\d+: .*container web: the environment variable X .*workloads.*env: \{X: \.\.\.\}"
    ):
        of(find, manifests=manifests)
    assert of(find, manifests=manifests, env={"X": "4"})["X"] == "4"


def test_a_command_is_told_the_interpreter_and_where_to_listen(find: Find) -> None:
    _, found, _ = find(command=("python", "-m", "app", "--bind={host}:{port}", "{other}"))
    application = found["web"].applications[0]

    assert command(application) == [sys.executable, "-m", "app", "--bind=127.5.1.2:8080", "{other}"]
    assert command(replace(application, endpoint=None))[3] == "--bind=:"
