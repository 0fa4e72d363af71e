"""Which cluster do tests visit? The mesh of `tests.meshes`, as objects in a real API server, with real Envoys for its sidecars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from chaos.mesh.cluster.client import Client
from chaos.mesh.cluster.kinds import CONFIG_MAP, ENVOY_FILTER, LEASE, NAMESPACE, NODE, POD, SERVICE, SERVICE_ENTRY, Kind
from chaos.mesh.cluster.mesh import Visit
from chaos.mesh.local.mesh import LocalMesh
from chaos.mesh.port import Pod
from chaos.model.topology import Topology
from tests import cluster_standin
from tests.apiserver.istiod import DESTINATION_RULE, VIRTUAL_SERVICE, Istiod, watching
from tests.apiserver.kubelet import Kubelet, serving
from tests.apiserver.server import CONTEXT, ApiServer, create
from tests.meshes import topology

NODE_NAME: Final = "node-1"
ISTIO_SYSTEM: Final = "istio-system"
GATEWAY = Kind(name="Gateway", plural="gateways", group="networking.istio.io", version="v1")
ROLE = Kind(name="Role", plural="roles", group="rbac.authorization.k8s.io", version="v1")
ROLE_BINDING = Kind(name="RoleBinding", plural="rolebindings", group="rbac.authorization.k8s.io", version="v1")
PUBLISHED: Final = {kind.name: kind for kind in (SERVICE, SERVICE_ENTRY, VIRTUAL_SERVICE, DESTINATION_RULE, GATEWAY)}
EMPTIED: Final = (ENVOY_FILTER, *PUBLISHED.values(), POD, LEASE, CONFIG_MAP, ROLE_BINDING, ROLE)
RULES: Final[Sequence[Mapping[str, Any]]] = (
    {"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods/portforward", "pods/exec"], "verbs": ["get", "create"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    {"apiGroups": ["networking.istio.io"], "resources": ["serviceentries"], "verbs": ["get", "list"]},
    {"apiGroups": ["networking.istio.io"], "resources": ["envoyfilters"], "verbs": ["get", "list", "create", "patch", "delete"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "list", "create", "update", "delete"]},
)
"""What a run needs in a namespace under test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A cluster that works."""

    server: ApiServer
    admin: Client
    mesh: LocalMesh
    kubelet: Kubelet
    istiod: Istiod
    topology: Topology
    folder: Path

    def visit(self, user: str = "tester", *, url: str = "", **more: Any) -> Visit:
        """What a ClusterMesh is made of; with `url`, by way of something in front of the API server."""
        kubeconfig = self.server.kubeconfig(self.folder / f"{user}.kubeconfig", user, url=url)
        given = {
            "context": CONTEXT,
            "namespace": "shop",
            "entry": self.topology.entry,
            "allowed": ("shop",),
            "kubeconfig": kubeconfig,
        }
        return Visit(**{**given, **more})

    def objects(self, namespace: str = "shop") -> dict[tuple[str, str], dict[str, Any]]:
        """Everything that somebody may have changed, managedFields included."""
        kinds = (ENVOY_FILTER, *PUBLISHED.values(), LEASE, CONFIG_MAP)
        return {(kind.name, o["metadata"]["name"]): o for kind in kinds for o in self.admin.items(kind, namespace)}

    def age_leases(self, seconds: float, namespace: str = "shop") -> None:
        """As if so much time had passed for them: nobody can set a real server's clock."""
        for lease in self.admin.items(LEASE, namespace):
            for key in ("acquireTime", "renewTime"):
                earlier = datetime.fromisoformat(lease["spec"][key]) - timedelta(seconds=seconds)
                lease["spec"][key] = earlier.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            self.admin.update(lease)

    def grant(self, user: str, rules: Sequence[Mapping[str, Any]] = RULES, namespace: str = "shop") -> None:
        _make_namespaces(self.admin, {namespace})
        metadata = {"name": user, "namespace": namespace}
        create(self.admin, ROLE, {**_head(ROLE), "metadata": metadata, "rules": list(rules)})
        subjects = [{"kind": "User", "name": user, "apiGroup": ROLE.group}]
        reference = {"kind": "Role", "name": user, "apiGroup": ROLE.group}
        create(self.admin, ROLE_BINDING, {**_head(ROLE_BINDING), "metadata": metadata, "subjects": subjects, "roleRef": reference})


@contextmanager
def world(server: ApiServer, folder: Path, **shop: Any) -> Iterator[World]:
    """One at a time for an API server; what it has there is gone with it."""
    of_shop, admin = topology(folder, **shop), server.client()
    with closing(LocalMesh.start(of_shop, folder=folder / "mesh", run="0123456789ab", spawned=lambda *_: None)) as mesh:
        kubelet, istiod = Kubelet(mesh), Istiod(server, mesh)
        with serving(kubelet, server):
            try:
                publish(admin, mesh, kubelet)
                with watching(istiod):
                    made = World(
                        server=server, admin=admin, mesh=mesh, kubelet=kubelet, istiod=istiod, topology=of_shop, folder=folder
                    )
                    made.grant("tester")
                    yield made
            finally:
                empty(admin)


def publish(admin: Client, mesh: LocalMesh, kubelet: Kubelet) -> None:
    """What a cluster with this mesh would have in its API server."""
    _make_namespaces(admin, {ISTIO_SYSTEM, *(pod.namespace for pod in mesh.pods()), *(s.namespace for s in mesh.services())})
    node = create(admin, NODE, {**_head(NODE), "metadata": {"name": NODE_NAME}})
    endpoint = {"kubeletEndpoint": {"Port": kubelet.port}}
    addresses = [{"type": "InternalIP", "address": "127.0.0.1"}]
    create(admin, NODE, {**node, "status": {"addresses": addresses, "daemonEndpoints": endpoint}}, "status")
    for document in mesh.manifests:
        if kind := PUBLISHED.get(document.kind):
            raw = dict(document.raw)
            create(admin, kind, {**raw, **_head(kind), "metadata": {"namespace": document.namespace, **raw["metadata"]}})
    for pod in mesh.pods():
        publish_pod(admin, cluster_standin._pod(pod, kubelet.version))
    istiod = {
        "name": "istiod-1",
        "namespace": ISTIO_SYSTEM,
        "labels": {"app": "istiod", "istio": "pilot", "istio.io/rev": "default"},
    }
    container = {"name": "discovery", "image": f"docker.io/istio/pilot:{kubelet.version}"}
    publish_pod(
        admin, {"metadata": istiod, "spec": {"containers": [container]}, "status": {"phase": "Running", "podIP": "127.0.0.1"}}
    )


def publish_pod(admin: Client, raw: Mapping[str, Any]) -> None:
    """On our node, and ready."""
    metadata = dict(raw["metadata"])
    metadata["ownerReferences"] = [{"apiVersion": "apps/v1", "uid": "1", **o} for o in metadata.get("ownerReferences", ())]
    containers = [{"image": f"registry.example/{each['name']}", **each} for each in raw["spec"]["containers"]]
    made = create(admin, POD, {**_head(POD), "metadata": metadata, "spec": {"nodeName": NODE_NAME, "containers": containers}})
    ready = {"ready": True, "restartCount": 0, "imageID": "", "state": {"running": {}}}
    status = {
        **raw["status"],
        "podIPs": [{"ip": raw["status"]["podIP"]}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": each["name"], "image": each["image"], **ready} for each in containers],
    }
    create(admin, POD, {**made, "status": status}, "status")


def replace_pod(admin: Client, pod: Pod, raw: Mapping[str, Any]) -> None:
    """As a rollout does, but at once."""
    _delete(admin, POD, pod.namespace, pod.name)
    publish_pod(admin, raw)


def empty(admin: Client) -> None:
    """Nobody else does it here: there is no controller of namespaces."""
    for kind in EMPTIED:
        for item in admin.items(kind):
            if not item["metadata"]["namespace"].startswith("kube-"):
                _delete(admin, kind, item["metadata"]["namespace"], item["metadata"]["name"])
    for item in admin.items(NODE):
        _delete(admin, NODE, None, item["metadata"]["name"])


def _make_namespaces(admin: Client, wanted: set[str]) -> None:
    for namespace in sorted(wanted - {item["metadata"]["name"] for item in admin.items(NAMESPACE)}):
        create(admin, NAMESPACE, {**_head(NAMESPACE), "metadata": {"name": namespace, "labels": {"istio-injection": "enabled"}}})


def _delete(admin: Client, kind: Kind, namespace: str | None, name: str) -> None:
    admin.call("DELETE", kind.path(namespace, name), body={"gracePeriodSeconds": 0})


def _head(kind: Kind) -> dict[str, str]:
    return {"apiVersion": kind.api_version, "kind": kind.name}
