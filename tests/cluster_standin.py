"""How does the cluster adapter run where there is no cluster? A stand-in for API server, istiod and kubelet over a local mesh.

The proxies, their admin interfaces, their logs and the applications are real: those of a `LocalMesh`. Objects are kept in memory, what is
applied is given to the mesh's Envoys, and port-forward, exec and logs lead to them, in the protocols an API server speaks.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, WSMsgType, web

from chaos.errors import MeshFailure
from chaos.mesh.cluster import relay
from chaos.mesh.local.mesh import LocalMesh
from chaos.model.inventory import Pod
from tests.scripted_api import write_kubeconfig

LEASES = "/apis/coordination.k8s.io/v1"
FILTERS = "/apis/networking.istio.io/v1alpha3"
NOISE = b'[2026-11-27T02:00:00.000Z] "GET /x HTTP/1.1" 200 - via_upstream - "-" 0 0 1 1 "-" "-" "-" "-" "-" outbound - - - - -'
"""A line of Istio's own access log."""


class Cluster:
    """One cluster. `forbidden` has (method, part of the path): what nobody may."""

    def __init__(self, mesh: LocalMesh, *, version: str = "1.29.6") -> None:
        self.mesh = mesh
        self.version = version
        self.url = ""
        self.forbidden: set[tuple[str, str]] = set()
        self.denied: set[tuple[str, str]] = set()
        """(verb, resource): what an access review says no to."""
        self.filters: dict[tuple[str, str], dict[str, Any]] = {}
        self.kept: dict[tuple[str, str, str], dict[str, Any]] = {}
        """(leases or configmaps, namespace, name) -> object"""
        self.away = False
        """Answers everybody with 503."""
        self.ahead = 0.0
        """Seconds by which the server's clock is ahead of this machine's."""
        self._versions = 0
        self.delivers = True
        """False: istiod is not there; what is written changes nothing."""
        self.calls: list[str] = []
        self._stamped: dict[str, list[tuple[str, bytes]]] = {}
        self._offsets: dict[str, int] = {}

    # -- objects
    def pods(self, namespace: str) -> list[dict[str, Any]]:
        return [_pod(pod, self.version) for pod in self.mesh.pods() if pod.namespace == namespace]

    def objects(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        found = [dict(d.raw) for d in self.mesh.manifests if d.kind == kind and d.namespace == namespace]
        return [{**raw, "metadata": {"namespace": namespace, **raw["metadata"]}} for raw in found]

    def pod(self, namespace: str, name: str) -> Pod | None:
        return next((p for p in self.mesh.pods() if (p.namespace, p.name) == (namespace, name)), None)

    # -- its server
    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._authorized], client_max_size=8 * 2**20)
        namespaced = "/api/v1/namespaces/{namespace}"
        app.add_routes([
            web.get("/version", self._version),
            web.get(namespaced, self._namespace),
            web.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self._review),
            web.get(FILTERS, self._kinds),
            web.get(f"{namespaced}/pods", self._list_pods),
            web.get(f"{namespaced}/services", self._list),
            web.get(f"{FILTERS}/namespaces/{{namespace}}/serviceentries", self._list),
            web.get(f"{FILTERS}/namespaces/{{namespace}}/envoyfilters", self._list_filters),
            web.patch(f"{FILTERS}/namespaces/{{namespace}}/envoyfilters/{{name}}", self._apply),
            web.delete(f"{FILTERS}/namespaces/{{namespace}}/envoyfilters/{{name}}", self._delete),
            web.get(f"{LEASES}/namespaces/{{namespace}}/leases", self._list_kept),
            web.post(f"{LEASES}/namespaces/{{namespace}}/leases", self._create),
            web.get(f"{LEASES}/namespaces/{{namespace}}/leases/{{name}}", self._get),
            web.put(f"{LEASES}/namespaces/{{namespace}}/leases/{{name}}", self._update),
            web.delete(f"{LEASES}/namespaces/{{namespace}}/leases/{{name}}", self._delete_kept),
            web.get(f"{namespaced}/configmaps/{{name}}", self._get),
            web.get(f"{namespaced}/pods/{{pod}}/log", self._log),
            web.get(f"{namespaced}/pods/{{pod}}/portforward", self._forward),
            web.get(f"{namespaced}/pods/{{pod}}/exec", self._exec),
        ])  # fmt: skip
        return app

    @web.middleware
    async def _authorized(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append(f"{request.method} {request.path}")
        if self.away:
            return _status(503, "the server is currently unable to handle the request")
        if request.headers.get("authorization") != "Bearer secret":
            return _status(401, "Unauthorized")
        parts = request.path.split("/")
        if forbidden := next((part for method, part in self.forbidden if method == request.method and part in parts), None):
            return _status(403, f'User "tester" cannot {request.method.lower()} {forbidden}')
        response: web.StreamResponse = await handler(request)
        return response

    async def _version(self, _request: web.Request) -> web.Response:
        return self._answer({"gitVersion": "v1.31.2"})

    async def _namespace(self, request: web.Request) -> web.Response:
        return web.json_response({"metadata": {"name": request.match_info["namespace"], "labels": {"istio-injection": "enabled"}}})

    async def _review(self, request: web.Request) -> web.Response:
        asked = (await request.json())["spec"]["resourceAttributes"]
        return web.json_response({"status": {"allowed": (asked["verb"], asked["resource"]) not in self.denied}}, status=201)

    async def _kinds(self, _request: web.Request) -> web.Response:
        return web.json_response({"resources": [{"name": "envoyfilters"}, {"name": "serviceentries"}]})

    async def _list_pods(self, request: web.Request) -> web.Response:
        return web.json_response({"items": self.pods(request.match_info["namespace"])})

    async def _list(self, request: web.Request) -> web.Response:
        kind = {"services": "Service", "serviceentries": "ServiceEntry"}[request.path.rpartition("/")[2]]
        return web.json_response({"items": self.objects(kind, request.match_info["namespace"])})

    async def _list_filters(self, request: web.Request) -> web.Response:
        label = request.query.get("labelSelector", "")
        found = [o for (n, _), o in self.filters.items() if n == request.match_info["namespace"]]
        return web.json_response({"items": [o for o in found if not label or label in o["metadata"].get("labels", {})]})

    async def _apply(self, request: web.Request) -> web.Response:
        if request.content_type != "application/apply-patch+yaml" or request.query.get("fieldManager") != "istio-chaos":
            return _status(415, "not an apply of ours")
        an_object = json.loads(await request.read())
        self.filters[request.match_info["namespace"], request.match_info["name"]] = an_object
        if self.delivers:
            with suppress(MeshFailure):  # a proxy refused it: nobody tells an API server that
                await asyncio.to_thread(self.mesh.apply, [an_object])
        return web.json_response(an_object)

    async def _delete(self, request: web.Request) -> web.Response:
        key = request.match_info["namespace"], request.match_info["name"]
        if self.filters.pop(key, None) is None:
            return _status(404, f'envoyfilters "{key[1]}" not found', name=key[1])
        if self.delivers:
            await asyncio.to_thread(self.mesh.delete, [key])
        return web.json_response({"kind": "Status", "status": "Success"})

    # -- leases and ConfigMaps: what is written names the version it read
    def keep(self, an_object: dict[str, Any]) -> None:
        """As if somebody had created it."""
        kind = {"Lease": "leases", "ConfigMap": "configmaps"}[an_object["kind"]]
        self._versions += 1
        metadata = {**an_object["metadata"], "resourceVersion": str(self._versions)}
        self.kept[kind, metadata["namespace"], metadata["name"]] = {**an_object, "metadata": metadata}

    def _found(self, request: web.Request) -> tuple[tuple[str, str, str], dict[str, Any] | None]:
        parts = request.path.split("/")
        key = parts[parts.index("namespaces") + 2], request.match_info["namespace"], request.match_info["name"]
        return key, self.kept.get(key)

    def _answer(self, body: dict[str, Any]) -> web.Response:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=self.ahead), usegmt=True)
        return web.json_response(body, headers={"Date": date})

    async def _get(self, request: web.Request) -> web.Response:
        key, found = self._found(request)
        return self._answer(found) if found else _status(404, f'{key[0]} "{key[2]}" not found', name=key[2])

    async def _list_kept(self, request: web.Request) -> web.Response:
        found = [o for (kind, n, _), o in self.kept.items() if (kind, n) == ("leases", request.match_info["namespace"])]
        return self._answer({"items": found})

    async def _create(self, request: web.Request) -> web.Response:
        an_object = await request.json()
        if ("leases", an_object["metadata"]["namespace"], an_object["metadata"]["name"]) in self.kept:
            return _status(409, "already exists")
        self.keep(an_object)
        return self._answer(an_object)

    async def _update(self, request: web.Request) -> web.Response:
        key, found = self._found(request)
        an_object = await request.json()
        if found is None:
            return _status(404, f'leases "{key[2]}" not found', name=key[2])
        if an_object["metadata"].get("resourceVersion") != found["metadata"]["resourceVersion"]:
            return _status(409, "the object has been modified")
        self.keep(an_object)
        return self._answer(an_object)

    async def _delete_kept(self, request: web.Request) -> web.Response:
        key, found = self._found(request)
        wanted = (json.loads(await request.read() or b"{}").get("preconditions") or {}).get("resourceVersion")
        if found is None:
            return _status(404, f'leases "{key[2]}" not found', name=key[2])
        if wanted and wanted != found["metadata"]["resourceVersion"]:
            return _status(409, "the object has been modified")
        del self.kept[key]
        return self._answer({"kind": "Status", "status": "Success"})

    # -- kubelet
    async def _log(self, request: web.Request) -> web.StreamResponse:
        pod = self.pod(request.match_info["namespace"], request.match_info["pod"])
        if pod is None:
            return _status(404, f'pods "{request.match_info["pod"]}" not found', name=request.match_info["pod"])
        since, sent = request.query.get("sinceTime", ""), 0
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        while True:
            self._stamp(pod)
            lines = self._stamped[pod.id]
            for stamp, line in lines[sent:]:
                if stamp[:19] >= since[:19]:
                    await response.write(f"{stamp} ".encode() + line + b"\n")
            sent = len(lines)
            if request.query.get("follow") != "true":
                return response
            await asyncio.sleep(0.02)

    def _stamp(self, pod: Pod) -> None:
        """Lines get the time at which kubelet's runtime saw them. A cluster's sidecars write none of the local mesh's own."""
        offset = self._offsets.get(pod.id, 0)
        data, self._offsets[pod.id] = self.mesh.read_log(pod, offset)
        lines = self._stamped.setdefault(pod.id, [])
        for line in data.splitlines():
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
            lines.append((now, NOISE if b'"istio_chaos":"sidecar"' in line else line))

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        pod = self.pod(request.match_info["namespace"], request.match_info["pod"])
        if pod is None:
            return _status(404, f'pods "{request.match_info["pod"]}" not found', name=request.match_info["pod"])
        port = int(request.query.get("ports") or request.query["port"])  # as an API server is asked, and as it asks kubelet
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"], max_msg_size=0)
        await socket.prepare(request)
        for channel in (0, 1):
            await socket.send_bytes(bytes([channel]) + port.to_bytes(2, "little"))
        try:
            reader, writer = await self._connected(pod, port)
        except OSError as error:
            await socket.send_bytes(b"\x01" + str(error).encode())
            await socket.close()
            return socket
        back = asyncio.create_task(_pump(reader, socket))
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    writer.write(message.data[1:])
                    await writer.drain()
        finally:
            back.cancel()
            writer.close()
        return socket

    async def _connected(self, pod: Pod, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sidecar = self.mesh._of(pod)
        if port == 15000:
            endpoint = sidecar.admin.endpoint
            return await asyncio.open_connection(endpoint.address, endpoint.port)
        if port == relay.PORT:
            return await asyncio.open_connection("127.0.0.1", self.relay_port)
        for endpoint in sidecar.listening():
            if endpoint.port == self.mesh._held.block.bindable(port):
                return await asyncio.open_connection(endpoint.address, endpoint.port)
        raise ConnectionRefusedError(f"nobody listens on {port} in {pod.id}")

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        pod = self.pod(request.match_info["namespace"], request.match_info["pod"])
        assert pod is not None
        command = request.query.getall("command")
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"], max_msg_size=0)
        await socket.prepare(request)
        assert command[:2] == ["pilot-agent", "request"]
        endpoint = self.mesh._of(pod).admin.endpoint
        async with ClientSession() as session, session.request(command[2], f"http://{endpoint}{command[3]}") as answer:
            body = await answer.read()
        for start in range(0, len(body), 16 * 1024):
            await socket.send_bytes(b"\x01" + body[start : start + 16 * 1024])
        await socket.send_bytes(b"\x03" + json.dumps({"status": "Success"}).encode())
        await socket.close()
        return socket

    # -- the pod istio-chaos-load
    async def relay(self) -> asyncio.Server:
        """As `chaos.mesh.cluster.relay`, but that what it is asked for is looked up at the load workload's own sidecar."""
        server = await asyncio.start_server(self._relayed, "127.0.0.1", 0)
        self.relay_port: int = server.sockets[0].getsockname()[1]
        return server

    async def _relayed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        host, _, port = head.split()[1].decode().rpartition(":")
        service = next(s for s in self.mesh.services() if f"{s.name}.{s.namespace}" == host)
        there, _, number = self.mesh.address(service, int(port)).url.removeprefix("http://").rpartition(":")
        upstream, downstream = await asyncio.open_connection(there, int(number))
        with closing(writer), closing(downstream):
            writer.write(b"HTTP/1.1 200 connected\r\n\r\n")
            await relay._either(relay._pump(reader, downstream), relay._pump(upstream, writer))


@contextmanager
def standing(cluster: Cluster, kubeconfig: Path, context: str = "kind-test") -> Iterator[Cluster]:
    """Serve it, with a kubeconfig that leads there."""
    loop = asyncio.new_event_loop()

    async def begin() -> web.AppRunner:
        runner = web.AppRunner(cluster.app(), shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        cluster.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        cluster.relaying = await cluster.relay()
        return runner

    async def end(runner: web.AppRunner) -> None:
        await runner.cleanup()
        cluster.relaying.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # transports close one turn later

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    try:
        write_kubeconfig(kubeconfig, {context: cluster.url})
        yield cluster
    finally:
        asyncio.run_coroutine_threadsafe(end(runner), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _pump(reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> None:
    while data := await reader.read(32 * 1024):
        await socket.send_bytes(b"\x00" + data)
    await socket.close()


def _status(code: int, message: str, **details: str) -> web.Response:
    return web.json_response({"kind": "Status", "message": message, "details": details, "code": code}, status=code)


def _pod(pod: Pod, version: str) -> dict[str, Any]:
    proxy = {
        "name": "istio-proxy",
        "image": f"docker.io/istio/proxyv2:{version}",
        "args": ["proxy", "router" if pod.gateway else "sidecar"],
    }
    app = [] if pod.gateway else [{"name": "app"}]
    owner = {"kind": "ReplicaSet", "name": f"{pod.workload}-5f7d8", "controller": True}
    return {
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "labels": {**pod.labels, "pod-template-hash": "5f7d8"},
            "annotations": {"istio.io/rev": "default"},
            "ownerReferences": [owner],
        },
        "spec": {"containers": [*app, *([proxy] if pod.proxy else [])]},
        "status": {"phase": "Running", "podIP": pod.ip},
    }
