"""How does a test get a real API server? kube-apiserver and etcd on free ports of the loopback interface, with Istio's CRDs.

The binaries are those of KUBEBUILDER_ASSETS (the convention of envtest), else those that `.ci/apiserver` built and keeps. RBAC is on; who
may what is said in `USERS`. Nobody else of a control plane runs: namespaces are never emptied, pods never scheduled.
"""

from __future__ import annotations

import os
import secrets
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import Request, urlopen

import yaml

from chaos import clock
from chaos.mesh.cluster.client import Client, Wanted
from chaos.mesh.cluster.kinds import Kind

BINARIES: Final = ("kube-apiserver", "etcd")
READY_WITHIN: Final = 60.0
"""Seconds; it takes two on a machine that has nothing else to do."""
CONTEXT: Final = "kind-test"
ADMIN: Final = "admin"
USERS: Final[Mapping[str, str]] = {ADMIN: "system:masters", "tester": "", "nobody": ""}
"""Users and their groups. `tester` gets what a test grants; `nobody` gets nothing."""

CRD = Kind(
    name="CustomResourceDefinition",
    plural="customresourcedefinitions",
    group="apiextensions.k8s.io",
    version="v1",
    namespaced=False,
)
AS_OWNER: Final[Mapping[str, str]] = {"fieldManager": "owner"}
"""Objects that are no test's are somebody else's."""
OWN_CRDS: Final = Path(__file__).with_name("crds.yaml")
_ENDED_WITH_US = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"


def assets() -> Path | None:
    """The folder with both binaries; None where there is none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "istio-chaos"
    given = os.environ.get("KUBEBUILDER_ASSETS")
    folders = [Path(given)] if given else sorted(cache.glob("envtest-*"), reverse=True)
    return next((folder for folder in folders if all(os.access(folder / name, os.X_OK) for name in BINARIES)), None)


def crds() -> Path:
    """Istio's own where a copy is at hand (ISTIO_CRDS, or `shared/istio` beside the checkout), else the few that are written here."""
    given = os.environ.get("ISTIO_CRDS")
    beside = Path(__file__).parents[3] / "shared/istio/crds.yaml"
    return Path(given) if given else beside if beside.exists() else OWN_CRDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServer:
    """One that is ready, until its block ends."""

    url: str
    folder: Path
    tokens: Mapping[str, str]
    etcd: subprocess.Popen[bytes]
    process: subprocess.Popen[bytes]
    _open: list[Client] = field(default_factory=list)

    @property
    def certificate(self) -> Path:
        """Its own, signed by itself; with `key`, a kubelet's as well."""
        return self.folder / "certificates/apiserver.crt"

    @property
    def key(self) -> Path:
        return self.folder / "certificates/apiserver.key"

    def kubeconfig(self, file: Path, user: str = "tester", *, url: str = "", context: str = CONTEXT) -> Path:
        """One that makes us this user. With `url`, by way of something in front of the server, in plain HTTP."""
        cluster = {"server": url} if url else {"server": self.url, "certificate-authority": str(self.certificate)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "clusters": [{"name": context, "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": user}}],
        }
        file.write_text(yaml.safe_dump(content))
        return file

    def client(self, user: str = ADMIN) -> Client:
        """Ours, as this user. Closed with the server."""
        client = Client.connect(CONTEXT, kubeconfig_file=self.kubeconfig(self.folder / f"{user}.kubeconfig", user))
        self._open.append(client)
        return client

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))


@contextmanager
def running(folder: Path) -> Iterator[ApiServer]:
    """Ready when it is given, ended with its block, and by the kernel if this process is killed."""
    binaries = assets()
    assert binaries is not None, "no kube-apiserver and etcd: .ci/apiserver builds them"
    tokens = {user: secrets.token_hex(16) for user in USERS}
    written = [f'{tokens[user]},{user},{user}-uid,"{group}"' for user, group in USERS.items()]
    (folder / "tokens.csv").write_text("\n".join(written) + "\n")
    with ExitStack() as ending:
        clients, peers, secure = _free_ports(3)
        etcd_url = f"http://127.0.0.1:{clients}"
        etcd = ending.enter_context(_child(folder, [str(binaries / "etcd"), *_etcd(folder, etcd_url, f"http://127.0.0.1:{peers}")]))
        _await_ready(etcd, folder / "etcd.log", Request(f"{etcd_url}/health"), None)
        process = ending.enter_context(_child(folder, [str(binaries / "kube-apiserver"), *_apiserver(folder, etcd_url, secure)]))
        server = ApiServer(url=f"https://127.0.0.1:{secure}", folder=folder, tokens=tokens, etcd=etcd, process=process)
        request = Request(f"{server.url}/readyz", headers={"Authorization": f"Bearer {tokens[ADMIN]}"})
        _await_ready(process, folder / "kube-apiserver.log", request, server)
        ending.callback(lambda: [client.close() for client in server._open])
        _install_crds(server.client())
        yield server


def _etcd(folder: Path, clients: str, peers: str) -> Sequence[str]:
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",
        "--log-level=error",
    ]


def _apiserver(folder: Path, etcd: str, port: int) -> Sequence[str]:
    key = folder / "certificates/apiserver.key"  # made by the server itself before it is read
    return [
        f"--etcd-servers={etcd}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--insecure-port=0",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--cert-dir={folder / 'certificates'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--disable-admission-plugins=ServiceAccount",  # nobody makes the accounts of namespaces here
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged=true",
    ]


@contextmanager
def _child(folder: Path, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    name = Path(command[0]).name
    with (folder / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-S", "-c", _ENDED_WITH_US, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={"ETCD_UNSUPPORTED_ARCH": "arm64", "HOME": str(folder), "PATH": os.environ.get("PATH", "")},
            start_new_session=True,
        )
    try:
        yield child
    finally:
        child.kill()  # nobody wants its data any more
        child.wait()


def _await_ready(child: subprocess.Popen[bytes], log: Path, request: Request, server: ApiServer | None) -> None:
    def ready() -> bool:
        if child.poll() is not None:
            raise RuntimeError(f"{log.stem} ended with status {child.returncode}:\n{log.read_text()[-4000:]}")
        try:
            with urlopen(request, timeout=2, context=server.tls() if server else None) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    if not clock.poll(ready, deadline=clock.Deadline.after(READY_WITHIN), first=0.02, most=0.1):
        raise RuntimeError(f"{log.stem} was not ready within {READY_WITHIN:.0f} s:\n{log.read_text()[-4000:]}")


def create(client: Client, kind: Kind, an_object: Mapping[str, Any], subresource: str = "") -> dict[str, Any]:
    """Of any kind, not only of those that the product knows. With a subresource: of what is there, replace that part."""
    metadata = an_object["metadata"]
    namespace = metadata.get("namespace")
    if subresource:
        path = kind.path(namespace, metadata["name"], subresource)
        found: dict[str, Any] = client.call(
            "PUT", path, query=AS_OWNER, body=an_object, about=Wanted("update", kind, namespace, subresource)
        ).json
        return found
    created: dict[str, Any] = client.call(
        "POST", kind.path(namespace), query=AS_OWNER, body=an_object, about=Wanted("create", kind, namespace)
    ).json
    return created


def _free_ports(number: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(closing(socket.socket())) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _install_crds(admin: Client) -> None:
    """Each is served when this returns. What a server of 1.20 does not know of them (rules in CEL) it drops by itself."""
    names = []
    for definition in yaml.load_all(crds().read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if definition and definition.get("kind") == CRD.name:
            create(admin, CRD, definition)
            names.append(definition["metadata"]["name"])

    def established() -> bool:
        return all(_has(item, "Established") for item in admin.items(CRD) if item["metadata"]["name"] in names)

    assert names and clock.poll(established, deadline=clock.Deadline.after(READY_WITHIN))


def _has(item: Mapping[str, Any], condition: str) -> bool:
    conditions = (item.get("status") or {}).get("conditions") or ()
    return any(c["type"] == condition and c["status"] == "True" for c in conditions)
