"""How would the services of a fake mesh fare? Every request runs through callers, proxies and applications, in steps of time.

Each request is a generator that yields the moment it wants to go on at; `advance` runs all of them up to now, in the order of
time. Proxies do what their configuration says at that moment: the first matching route, our private path with its fault headers,
time-outs and retries. Not modelled: outlier detection, circuit breakers, connections, the bytes of a throttled body.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from chaos import clock
from chaos.envoy.configuration import Configuration
from chaos.envoy.policy import Failure, RoutePolicy, edge_policy
from chaos.errors import Unreachable
from chaos.injection import fault_filter
from chaos.injection.names import HEADER, faults_key, is_ours
from chaos.model.inventory import Pod, Service
from chaos.testing import behaviour
from chaos.testing.behaviour import Behaviours

NEVER: Final = 2**62
_BACK_OFF: Final = 25_000_000
"""ns between two tries of a proxy, Envoy's base interval."""
_MILLION: Final = 1_000_000

Json = Mapping[str, Any]
Steps = Generator[int, None, "Answer"]
"""Yields moments (ns) to go on at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request, on its way through the mesh."""

    trace: str
    headers: Mapping[str, str]
    method: str = "GET"
    path: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `status` 0: nothing, since whoever asked had gone."""

    status: int
    body: str = ""
    flags: tuple[str, ...] = ()
    tries: int = 1
    details: str = "via_upstream"

    @property
    def lost(self) -> bool:
        return self.status == 0


@dataclass(slots=True, kw_only=True)
class Proxy:
    """One pod's sidecar: its configuration, what it wrote down, and whose turn it is behind each cluster."""

    pod: Pod
    configuration: Configuration
    written: bytearray = field(default_factory=bytearray)
    runtime: dict[str, str] = field(default_factory=dict)
    turns: dict[str, Iterator[int]] = field(default_factory=lambda: defaultdict(itertools.count))


@dataclass(frozen=True, slots=True)
class _Fault:
    """What our route tells the fault filters about one call."""

    instruction: str
    headers: Mapping[str, str]

    def drawn(self, replica: int | None) -> bool:
        return bool(fault_filter.drawn(self.instruction, replica))

    def hits(self, kind: str, draw: random.Random) -> int | None:
        """The value of `x-envoy-fault-<kind>-request`, if it is there and its percentage says so."""
        value = self.headers.get(f"x-envoy-fault-{kind}-request")
        share = int(self.headers.get(f"x-envoy-fault-{kind}-request-percentage", 0)) / _MILLION
        return int(value) if value is not None and draw.random() < share else None


_NO_FAULT: Final = _Fault("", {})


class System:
    """All services at work. Thread-safe; nothing happens but in `advance`, up to the clock's now."""

    def __init__(self, proxies: Mapping[str, Proxy], services: Mapping[str, Service], behaviours: Behaviours) -> None:
        self.lock = threading.RLock()
        self.proxies = proxies
        self._services = services
        self._behaviours = behaviours
        self._waiting: list[tuple[int, int, Generator[int, None, object]]] = []
        self._order = itertools.count()
        self._streams = itertools.count(1)
        self._by_address = {f"{p.pod.ip}": p for p in proxies.values()}
        self._now = clock.now()
        self._pairing = clock.Pairing.taken()

    # -- time
    def begin(self, at: int, steps: Generator[int, None, object]) -> None:
        """Run these steps from a moment on."""
        with self.lock:
            heapq.heappush(self._waiting, (at, next(self._order), steps))

    def advance(self) -> int:
        """Everything that happens until now. Returns now."""
        with self.lock:
            until = clock.now()
            while self._waiting and self._waiting[0][0] <= until:
                at, _, steps = heapq.heappop(self._waiting)
                self._now = max(self._now, at)
                then = next(steps, None)
                if then is not None:
                    heapq.heappush(self._waiting, (then, next(self._order), steps))
            self._now = max(self._now, until)
            return until

    @property
    def now(self) -> int:
        """The moment of the step that runs."""
        return self._now

    def _wait(self, seconds_ns: int, cut: int) -> Generator[int, None, bool]:
        """True when the time was waited for, False when it was cut."""
        until = self._now + seconds_ns
        yield min(until, cut)
        return until < cut

    # -- a call, from the caller's proxy on
    def call(self, caller: Proxy, host: str, port: int, asked: Question, cut: int = NEVER) -> Steps:
        """`caller`'s application calls a service; it is gone at `cut`."""
        routes = _virtual_host(caller.configuration, f"{host}:{port}")
        ours = next((r for r in routes if is_ours(r.get("name", "")) and _matches(r["match"], asked)), None)
        route = _settled(next(r for r in routes if not is_ours(r.get("name", "")) and _matches(r["match"], asked)), asked)
        if ours is None:
            stream = self._stream(caller, asked, "sidecar", side="outbound", cluster=_cluster(route), attempts="1")
            answer = yield from self._route(caller, route, asked, _NO_FAULT, None, cut)
            self._end(caller, stream, answer, tries="attempts")
            return answer
        added = {h["header"]["key"]: h["header"]["value"] for h in ours["request_headers_to_add"]}
        silenced = caller.runtime.get(faults_key(ours["name"])) == "0"
        fault = _NO_FAULT if silenced else _Fault(added.get(HEADER, ""), added)
        stream = self._stream(caller, asked, "call", private_path=ours["name"], chaos=fault.instruction or "-")
        stream["call"] = f"call-{stream['stream']}"
        self._write(caller, {**stream, "event": "DownstreamStart"})
        answer = yield from self._faulted(
            fault if fault.drawn(None) else _NO_FAULT, asked, cut, lambda: self._route(caller, route, asked, fault, stream, cut)
        )
        self._end(caller, stream, answer)
        return answer

    def _route(self, caller: Proxy, route: Json, asked: Question, fault: _Fault, stream: Json | None, cut: int) -> Steps:
        """The hop's own policy: time-out and retries of the route."""
        policy = edge_policy({"routes": [route]}, ()).routes[0]
        retries = policy.retries
        over = self._now + _ns(policy.timeout) if policy.timeout else NEVER
        for tried in itertools.count(1):
            limit = min(cut, over, self._now + _ns(retries.per_try_timeout) if retries and retries.per_try_timeout else NEVER)
            answer = yield from self._attempt(caller, route, asked, fault, stream, limit)
            if answer.lost and limit in (cut, over):
                return _gone(tried) if limit == cut else Answer(status=504, flags=("UT",), tries=tried, details="response_timeout")
            if answer.lost:
                answer = Answer(status=504, flags=("UT",), details="upstream_per_try_timeout")
            if not _retries(policy, answer):
                return replace(answer, tries=tried)
            if retries is not None and tried > retries.attempts:
                return replace(answer, tries=tried, flags=(*answer.flags, "URX"))
            if not (yield from self._wait(_BACK_OFF, min(cut, over))):
                return _gone(tried) if cut <= over else Answer(status=504, flags=("UT",), tries=tried, details="response_timeout")
        raise AssertionError("unreachable")  # pragma: no cover

    def _attempt(self, caller: Proxy, route: Json, asked: Question, fault: _Fault, call: Json | None, cut: int) -> Steps:
        """One try at one host."""
        hosts = _hosts(caller.configuration, _cluster(route))
        if not hosts:
            return Answer(status=503, flags=("UH",), details="no_healthy_upstream")
        host = hosts[next(caller.turns[_cluster(route)]) % len(hosts)]
        answers = self._by_address[host.rpartition(":")[0]]
        if call is None:
            return (yield from self._serve(answers, asked, cut))
        stream = self._stream(caller, asked, "attempt", private_path=call["private_path"], chaos=call["chaos"], host=host)
        stream["call"] = call["call"]
        self._write(caller, {**stream, "event": "DownstreamStart"})
        draws = fault if fault.drawn(_replica(caller.configuration, call["private_path"], host)) else _NO_FAULT
        answer = yield from self._faulted(draws, asked, cut, lambda: self._serve(answers, asked, cut))
        self._end(caller, stream, answer)
        return answer

    def _faulted(self, fault: _Fault, asked: Question, cut: int, go_on: Callable[[], Steps]) -> Steps:
        """Envoy's fault filter: the delay first, then the abort."""
        draw = random.Random(f"{asked.trace} {self._now}")
        flags: tuple[str, ...] = ()
        delay = fault.hits("delay", draw)
        if delay is not None:
            flags = ("DI",)
            if not (yield from self._wait(delay * _MILLION, cut)):
                return Answer(status=0, flags=("DI", "DC"), details="downstream_remote_disconnect")
        abort = fault.hits("abort", draw)
        if abort is not None:
            return Answer(status=abort, body="fault filter abort", flags=(*flags, "FI"), details="fault_filter_abort")
        answer = yield from go_on()
        return replace(answer, flags=(*flags, *answer.flags))

    # -- an application
    def _serve(self, proxy: Proxy, asked: Question, cut: int) -> Steps:
        stream = self._stream(proxy, asked, "sidecar", side="inbound")
        answer = yield from self._application(proxy, asked, cut)
        self._end(proxy, stream, answer, tries="attempts")
        return replace(answer, flags=())

    def _application(self, proxy: Proxy, asked: Question, cut: int) -> Steps:
        does = behaviour.of(proxy.pod, self._behaviours)
        if not (yield from self._wait(does.work, cut)):
            return _gone(1)
        onward = asked if does.forwards else replace(asked, headers={})
        failed = False
        for name in does.calls:
            for _ in range(does.tries):
                patience = self._now + does.waits if does.waits is not None else NEVER
                host, port = self._address(name, proxy.pod)
                answer = yield from self.call(proxy, host, port, replace(onward, method="GET", path="/"), min(cut, patience))
                if answer.lost and cut <= patience:
                    return _gone(1)
                if not answer.lost and answer.status < 500:
                    break
            else:
                failed = True
        if not failed:
            return Answer(status=does.status, body=does.body)
        return Answer(status=502, body="a call failed") if does.fallback is None else Answer(status=200, body=does.fallback)

    def _address(self, name: str, caller: Pod) -> tuple[str, int]:
        short, _, namespace = name.partition(".")
        found = self._services.get(f"{short}.{namespace or caller.namespace}")
        if found is None:
            raise Unreachable(f'{caller.id} calls "{name}", which is no service of the fake mesh: look at its Behaviour')
        return found.host, found.ports[0].number

    # -- what proxies write down
    def _stream(self, proxy: Proxy, asked: Question, what: str, **more: str) -> dict[str, str]:
        headers = {key: asked.headers.get(key, "-") for key in ("traceparent", "baggage")}
        return {
            "istio_chaos": what,
            "stream": str(next(self._streams)),
            "start": f"{self._pairing.wall_of(self._now) / 1e9:.6f}",
            "method": asked.method,
            "path": asked.path,
            **headers,
            **more,
            "_at": str(self._now),
        }

    def _end(self, proxy: Proxy, stream: Mapping[str, str], answer: Answer, *, tries: str = "tries") -> None:
        flags = ("DC",) if answer.lost and "DC" not in answer.flags else ()
        self._write(
            proxy,
            {
                **stream,
                "event": "DownstreamEnd",
                "us" if tries == "tries" else "duration_us": str((self._now - int(stream["_at"])) // 1000),
                "code": str(answer.status),
                "flags": ",".join([*answer.flags, *flags]) or "-",
                "details": answer.details,
                tries: str(answer.tries),
            },
        )

    def _write(self, proxy: Proxy, line: Mapping[str, str]) -> None:
        proxy.written += json.dumps({key: value for key, value in line.items() if key != "_at"}).encode() + b"\n"


# ---------------------------------------------------------------------------------------------- reading a configuration
def _virtual_host(configuration: Configuration, name: str) -> list[Json]:
    for routes in configuration.routes:
        for host in routes.get("virtual_hosts", []):
            if host["name"] == name:
                return list(host.get("routes", []))
    raise Unreachable(f"the caller's proxy has no route to {name}")


def _matches(match: Json, asked: Question) -> bool:
    path = asked.path
    if "path" in match and match["path"] != path:
        return False
    folder = match.get("path_separated_prefix")
    if folder is not None and path != folder and not path.startswith(f"{folder}/"):
        return False
    return path.startswith(match.get("prefix", "")) and all(_has(header, asked) for header in match.get("headers", []))


def _has(wanted: Json, asked: Question) -> bool:
    value = {":method": asked.method, **asked.headers}.get(wanted["name"])
    if value is None:
        return False
    condition = wanted.get("string_match", {})
    return (
        value == condition.get("exact", value)
        and value.startswith(condition.get("prefix", ""))
        and condition.get("contains", "") in value
    )


def _settled(route: Json, asked: Question) -> Json:
    """With one cluster, drawn by weight where there are several."""
    weighted = route["route"].get("weighted_clusters", {}).get("clusters", [])
    if not weighted:
        return route
    (drawn,) = random.Random(asked.trace).choices(weighted, [c.get("weight", 0) for c in weighted])
    return {**route, "route": {**route["route"], "cluster": drawn["name"]}}


def _cluster(route: Json) -> str:
    return str(route["route"]["cluster"])


def _hosts(configuration: Configuration, cluster: str) -> list[str]:
    found = next((e for e in configuration.endpoints if e["cluster_name"] == cluster), {})
    return [_socket(endpoint) for locality in found.get("endpoints", []) for endpoint in locality.get("lb_endpoints", [])]


def _socket(endpoint: Json) -> str:
    address = endpoint["endpoint"]["address"]["socket_address"]
    return f"{address['address']}:{address['port_value']}"


def _replica(configuration: Configuration, path: str, host: str) -> int:
    """The place of a host among the filter chains of our listener for attempts."""
    listener = configuration.listener(f"{path}.attempt") or {}
    ip = host.rpartition(":")[0]
    chains = [c["filter_chain_match"]["prefix_ranges"][0]["address_prefix"] for c in listener.get("filter_chains", [])]
    return chains.index(ip) if ip in chains else -1


def _retries(policy: RoutePolicy, answer: Answer) -> bool:
    return policy.retries is not None and policy.retries.attempts > 0 and policy.retries.see(Failure(status=answer.status))


def _gone(tries: int) -> Answer:
    return Answer(status=0, flags=("DC",), tries=tries, details="downstream_remote_disconnect")


def _ns(seconds: float) -> int:
    return int(seconds * clock.NS)
