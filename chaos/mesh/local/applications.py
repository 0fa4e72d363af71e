"""What does one application get? Its command, and an environment as in a pod, with addresses of this machine.

Calls leave through HTTP_PROXY; clients that ignore it (gRPC, raw TCP) find their own sidecar in Kubernetes' service
variables. What would let a call pass by the sidecar (NO_PROXY and its kin) is taken out.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from chaos.errors import ManifestError
from chaos.istio.documents import Document
from chaos.istio.services import Service
from chaos.istio.workloads import Pod
from chaos.istio.world import World
from chaos.mesh.local.instances import Application, Instance

RUN = "ISTIO_CHAOS_RUN"
"""In the environment of every child: the watchdog finds stragglers of a dead run by it."""
_PAST_THE_SIDECAR = ("NO_PROXY", "ALL_PROXY", "HTTPS_PROXY")
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_SOURCES = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}
_SOURCES_OF_ALL = {"configMapRef": "ConfigMap", "secretRef": "Secret"}


def command(application: Application) -> list[str]:
    """`python` is the interpreter that runs us; `{host}` and `{port}` are where to listen."""
    first, *rest = application.workload.command
    where = {"{host}": "", "{port}": ""}
    if application.endpoint is not None:
        where = {"{host}": application.endpoint.address, "{port}": str(application.endpoint.port)}
    return [sys.executable if first == "python" else _filled(first, where), *(_filled(word, where) for word in rest)]


def _filled(word: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        word = word.replace(placeholder, value)
    return word


def environment(
    instance: Instance,
    application: Application,
    *,
    world: World,
    services: Iterable[Service],
    inherited: Mapping[str, str],
    run: str,
) -> dict[str, str]:
    """Later ones win: ours, the service variables, the manifest's, the topology's, and what must be so for the mesh to work."""
    past = {name for name in _PAST_THE_SIDECAR for name in (name, name.lower())} if instance.proxy else set()
    env = {name: value for name, value in inherited.items() if name not in past}
    env |= service_variables(instance, services)
    env |= _from_manifest(instance.pod, application, world)
    env |= application.workload.env
    return {**env, **identity(instance, application), "PYTHONUNBUFFERED": "1", RUN: run}


def identity(instance: Instance, application: Application) -> dict[str, str]:
    """Where to listen, who it is, and through whom it calls."""
    pod = instance.pod
    env = {"POD_NAME": pod.name, "POD_NAMESPACE": pod.namespace, "POD_IP": pod.ip}
    version = pod.labels.get("version") or pod.labels.get("app.kubernetes.io/version")
    if version:
        env["SERVICE_VERSION"] = version
    if application.endpoint is not None:
        env |= {"HOST": application.endpoint.address, "PORT": str(application.endpoint.port)}
    if instance.proxy:
        env |= {"HTTP_PROXY": instance.proxy_url, "http_proxy": instance.proxy_url}
    return env


def service_variables(instance: Instance, services: Iterable[Service]) -> dict[str, str]:
    """As the kubelet sets them for the services of the pod's namespace (kubernetes pkg/kubelet/envvars), at our own addresses.

    No kubelet knows ServiceEntries. They get variables too (`API_EXAMPLE_COM_SERVICE_HOST`): nothing captures a call to them here.
    """
    endpoints = {(port.host, port.number): port.endpoint for port in instance.offered}
    env: dict[str, str] = {}
    for service in services:
        if service.headless or (service.kubernetes and service.namespace != instance.pod.namespace):
            continue
        name = re.sub(r"[-.]", "_", service.name if service.kubernetes else service.hostname).upper()
        for port in service.ports:
            endpoint = endpoints.get((service.hostname, port.number))
            if endpoint is None:
                continue
            url = f"tcp://{endpoint}"
            env.setdefault(f"{name}_SERVICE_HOST", endpoint.address)
            env.setdefault(f"{name}_SERVICE_PORT", str(endpoint.port))
            env.setdefault(f"{name}_PORT", url)
            if port.name:
                env[f"{name}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(endpoint.port)
            link = f"{name}_PORT_{port.number}_TCP"
            env |= {link: url, f"{link}_PROTO": "tcp", f"{link}_PORT": str(endpoint.port), f"{link}_ADDR": endpoint.address}
    return env


# ------------------------------------------------------------------------------------------------ the container's own env
def _from_manifest(pod: Pod, application: Application, world: World) -> dict[str, str]:
    env: dict[str, str] = {}
    for source in application.raw.get("envFrom") or ():
        env |= _all_of(pod, application, world, source)
    for variable in application.raw.get("env") or ():
        name = str(variable.get("name", ""))
        if application.workload.env.get(name) is not None:
            continue  # the topology says what it is here, whatever the manifest takes it from
        value = _value(pod, application, world, variable)
        if value is not None:
            env[name] = _REFERENCE.sub(_expand(env), value)
    return env


def _expand(env: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    """`$(NAME)` of a variable defined before it; an unknown one stays as written, `$$` is a dollar."""
    return lambda found: "$" if found.group(0) == "$$" else env.get(found.group(1), found.group(0))


def _value(pod: Pod, application: Application, world: World, variable: Mapping[str, Any]) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return str(variable.get("value") or "")
    if "fieldRef" in source:
        found = _field(pod, str(source["fieldRef"].get("fieldPath", "")))
        if found is not None:
            return found
    for key, kind in _SOURCES.items():
        reference = source.get(key)
        if reference:
            data = _data(world, pod.namespace, kind, str(reference.get("name", "")))
            if str(reference.get("key")) in data:
                return data[str(reference["key"])]
            if reference.get("optional"):
                return None
    name = variable.get("name")
    remedy = f"set it under local.workloads.{application.image}.env: {{{name}: ...}}"
    raise ManifestError(_unknown(pod, application, f"the environment variable {name} comes from {source}", remedy))


def _all_of(pod: Pod, application: Application, world: World, source: Mapping[str, Any]) -> dict[str, str]:
    prefix = str(source.get("prefix") or "")
    for key, kind in _SOURCES_OF_ALL.items():
        reference = source.get(key)
        if reference:
            data = _data(world, pod.namespace, kind, str(reference.get("name", "")))
            if data or reference.get("optional"):
                return {prefix + name: value for name, value in data.items()}
    raise ManifestError(_unknown(pod, application, f"its environment comes from {dict(source)}", "mark the reference optional"))


def _field(pod: Pod, path: str) -> str | None:
    keyed = _KEYED.fullmatch(path)
    if keyed:
        return (pod.labels if keyed.group(1) == "labels" else pod.annotations).get(keyed.group(2), "")
    return {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.id,
        "spec.nodeName": pod.node,
        "spec.serviceAccountName": pod.service_account,
        "status.podIP": pod.ip,
        "status.podIPs": pod.ip,
        "status.hostIP": pod.ip,
    }.get(path)


def _data(world: World, namespace: str, kind: str, name: str) -> dict[str, str]:
    return {k: v for d in world.of_kind(kind, "") if (d.namespace, d.name) == (namespace, name) for k, v in _pairs(d)}


def _pairs(document: Document) -> Iterator[tuple[str, str]]:
    """A Secret's `data` is base64, everything else is text."""
    secret = document.kind == "Secret"
    for key, value in (document.raw.get("data") or {}).items():
        yield str(key), base64.b64decode(str(value)).decode(errors="replace") if secret else str(value)
    for key, value in (document.raw.get("stringData") or {}).items():
        yield str(key), str(value)


def _unknown(pod: Pod, application: Application, what: str, remedy: str) -> str:
    return (
        f"{pod.document.place()}: container {application.container}: {what}, which the local mesh does not have; "
        f"add the object to local.manifests, or {remedy}"
    )
