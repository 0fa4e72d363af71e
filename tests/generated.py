"""Which manifests may somebody write? Services with rules and policies of every kind, as Hypothesis draws them.

All of them are such as istiod takes. `owners` draws everything a rule or a policy can hold; `routings` only what decides which rule
takes a request, from so few words that requests meet the rules, and a routing says itself which rule that is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from chaos.istio.documents import Document, read_text

NAMESPACE = "shop"
CLIENT = f"client.{NAMESPACE}"
Rule = dict[str, Any]
Manifest = dict[str, Any]


def documents(manifests: Sequence[Manifest]) -> tuple[Document, ...]:
    return tuple(read_text(yaml.safe_dump_all(manifests), Path("generated.yaml")))


def optional(**parts: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    """Any subset of the keys."""
    return st.fixed_dictionaries({}, optional=parts)


def manifest(kind: str, name: str, spec: Mapping[str, Any], api: str = "networking.istio.io/v1") -> Manifest:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": dict(spec)}


def service(name: str, port: str = "http") -> list[Manifest]:
    """A service, and a workload of each version behind it."""
    spec = {"selector": {"app": name}, "ports": [{"name": port, "port": 80, "targetPort": 9000}]}
    return [manifest("Service", name, spec, "v1"), *(workload(f"{name}-{v}", app=name, version=v) for v in ("v1", "v2"))]


def workload(name: str, **labels: str) -> Manifest:
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "ports": [{"containerPort": 9000}]}]}}
    return manifest("Deployment", name, {"template": template}, "apps/v1")


# ------------------------------------------------------------------------------------------------------------ anything
SERVICES = ("alpha", "beta", "gamma")
WORKLOADS = documents(
    [
        *(part for name in SERVICES for part in service(name, "grpc" if name == "gamma" else "http")),
        workload("client", app="client"),
    ]
)
_milliseconds = st.integers(1, 100_000)
durations = st.one_of(
    _milliseconds.map(lambda n: f"{n}ms"),
    st.integers(1, 300).map(lambda n: f"{n}s"),
    st.integers(1, 900).map(lambda n: f"{n / 10}s"),
    st.sampled_from(["1h30m", "1m0.5s", "1.5h"]),
)
percentages = st.one_of(st.just(0), st.sampled_from([0.0001, 0.57, 1.13, 33.3, 100]), st.floats(0.0001, 100)).map(
    lambda v: {"value": v}
)
statuses = st.integers(200, 599)
words = st.sampled_from(["a", "b-1", "a b", "ä", "%%", "x.y", "/", "~", "*a"])
header_names = st.sampled_from(["x-a", "X-B", "cookie", "end-user"])
header_values = st.sampled_from(["", "1", "a b", "%REQ(x-a)%", "100%%", "ü", '"'])
paths = st.sampled_from(["/", "/a", "/a/b", "/a?", "/%20", "/ä", "/A.b"])
regexes = st.sampled_from([".*", "/a.*", "[0-9]+", "(a|b)", r"\d{3}", "(?i)abc", "^/a$"])
counts = st.one_of(st.just(0), st.integers(1, 1000), st.just(2**31 - 1))


def string_matches(values: SearchStrategy[str]) -> SearchStrategy[dict[str, str]]:
    return st.one_of(
        st.builds(lambda kind, value: {kind: value}, st.sampled_from(["exact", "prefix"]), values),
        regexes.map(lambda regex: {"regex": regex}),
    )


def destinations() -> SearchStrategy[dict[str, Any]]:
    hosts = st.sampled_from([*SERVICES, "alpha.shop.svc.cluster.local", "elsewhere.example", "nobody"])
    return st.fixed_dictionaries(
        {"host": hosts},
        optional={"subset": st.sampled_from(["v1", "v2", "v9"]), "port": st.sampled_from([80, 81]).map(lambda n: {"number": n})},
    )


matches = optional(
    name=st.sampled_from(["one", "two"]),
    uri=string_matches(paths),
    ignoreUriCase=st.booleans(),
    method=string_matches(st.sampled_from(["GET", "POST"])),
    authority=string_matches(words),
    scheme=string_matches(st.just("http")),
    headers=st.dictionaries(st.sampled_from(["x-a", "x-b", "cookie"]), st.one_of(st.just({}), string_matches(words)), max_size=2),
    withoutHeaders=st.dictionaries(st.sampled_from(["x-c", "x-d"]), st.one_of(st.just({}), string_matches(words)), max_size=2),
    queryParams=st.dictionaries(st.sampled_from(["p", "q"]), string_matches(words), max_size=2),
    sourceLabels=st.sampled_from([{"app": "client"}, {"app": "stranger"}]),
    sourceNamespace=st.sampled_from([NAMESPACE, "elsewhere"]),
    port=st.sampled_from([80, 81]),
    statPrefix=st.sampled_from(["one", "two"]),
)
_operations = optional(
    set=st.dictionaries(header_names, header_values, max_size=2),
    add=st.dictionaries(header_names, header_values, max_size=2),
    remove=st.lists(st.sampled_from(["x-a", "x-b"]), max_size=2),
)
header_operations = optional(request=_operations, response=_operations)
faults = st.one_of(
    st.fixed_dictionaries({"delay": st.builds(lambda d, p: {"fixedDelay": d, "percentage": p}, durations, percentages)}),
    st.fixed_dictionaries({"abort": st.builds(lambda s, p: {"httpStatus": s, "percentage": p}, statuses, percentages)}),
    st.fixed_dictionaries(
        {
            "delay": st.builds(lambda n, p: {"fixedDelay": f"{n}ms", "percent": p}, _milliseconds, st.integers(0, 100)),
            "abort": st.builds(
                lambda s, p: {"grpcStatus": s, "percentage": p}, st.sampled_from(["UNAVAILABLE", "INTERNAL", "OK"]), percentages
            ),
        }
    ),
)
retries = st.one_of(
    st.sampled_from([{}, {"attempts": 0}]),
    st.fixed_dictionaries(
        {"attempts": st.integers(1, 100)},
        optional={
            "perTryTimeout": durations,
            "backoff": durations,
            "retryOn": st.sampled_from(
                ["5xx", "gateway-error,reset", "503", "connect-failure,418,503", "retriable-4xx", "unavailable"]
            ),
            "retryIgnorePreviousHosts": st.booleans(),
            "retryRemoteLocalities": st.booleans(),
        },
    ),
)
rewrites = st.one_of(
    st.fixed_dictionaries({"uri": paths}, optional={"authority": st.just("other.example")}),
    st.just({"authority": "other.example"}),
    regexes.map(lambda regex: {"uriRegexRewrite": {"match": regex, "rewrite": r"/\0"}}),
)
mirrors = st.lists(
    st.fixed_dictionaries({"destination": destinations()}, optional={"percentage": percentages}), min_size=1, max_size=2
)
cors = optional(
    allowOrigins=st.lists(string_matches(st.just("http://a.example")), max_size=2),
    allowMethods=st.lists(st.sampled_from(["GET", "POST"]), max_size=2),
    allowHeaders=st.lists(st.sampled_from(["x-a", "x-b"]), max_size=2),
    exposeHeaders=st.lists(st.just("x-a"), max_size=1),
    maxAge=st.sampled_from(["1s", "5m", "24h"]),
    allowCredentials=st.booleans(),
)


def routed() -> SearchStrategy[Rule]:
    single = destinations().map(lambda d: [{"destination": d}])
    weighted = st.lists(
        st.fixed_dictionaries(
            {"destination": destinations(), "weight": st.integers(1, 1000)}, optional={"headers": header_operations}
        ),
        min_size=2,
        max_size=3,
    )
    return st.fixed_dictionaries(
        {"route": st.one_of(single, weighted)},
        optional={
            "fault": faults,
            "timeout": durations,
            "retries": retries,
            "rewrite": rewrites,
            "mirrors": mirrors,
            "headers": header_operations,
            "corsPolicy": cors,
        },
    )


redirected = st.fixed_dictionaries(
    {
        "redirect": st.fixed_dictionaries(
            {"uri": paths},
            optional={
                "authority": st.just("other.example"),
                "scheme": st.sampled_from(["http", "https"]),
                "port": st.sampled_from([80, 443, 8080]),
                "redirectCode": st.sampled_from([301, 302, 303, 307, 308]),
            },
        )
    }
)
answered = st.fixed_dictionaries(
    {"directResponse": st.fixed_dictionaries({"status": statuses}, optional={"body": words.map(lambda word: {"string": word})})}
)
rules = st.builds(
    lambda action, match: {**action, **match},
    st.one_of(routed(), redirected, answered),
    optional(match=st.lists(matches.filter(bool), min_size=1, max_size=2), name=st.sampled_from(["r", "s"])),
)

pools = optional(
    tcp=optional(
        maxConnections=counts,
        connectTimeout=durations,
        idleTimeout=durations,
        maxConnectionDuration=durations,
        tcpKeepalive=optional(time=durations.filter(lambda d: d.endswith("s") and "m" not in d), probes=st.integers(1, 9)),
    ).filter(bool),
    http=optional(
        http1MaxPendingRequests=counts,
        http2MaxRequests=counts,
        maxRequestsPerConnection=counts,
        maxRetries=counts,
        idleTimeout=durations,
        maxConcurrentStreams=counts,
        h2UpgradePolicy=st.sampled_from(["DEFAULT", "UPGRADE", "DO_NOT_UPGRADE"]),
    ).filter(bool),
).filter(bool)
outliers = optional(
    consecutive5xxErrors=st.integers(0, 100),
    consecutiveGatewayErrors=st.integers(0, 100),
    interval=durations,
    baseEjectionTime=durations,
    maxEjectionPercent=st.integers(0, 100),
    minHealthPercent=st.integers(0, 100),
)
balancers = st.one_of(
    st.sampled_from(["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "PASSTHROUGH", "UNSPECIFIED"]).map(lambda name: {"simple": name}),
    st.sampled_from(
        [
            {"httpHeaderName": "x-user"},
            {"httpCookie": {"name": "session", "ttl": "10s", "path": "/"}},
            {"useSourceIp": True},
            {"httpQueryParameterName": "user"},
            {"httpHeaderName": "x-user", "ringHash": {"minimumRingSize": 2048}},
            {"httpHeaderName": "x-user", "maglev": {"tableSize": 1021}},
        ]
    ).map(lambda consistent: {"consistentHash": consistent}),
    durations.map(lambda window: {"simple": "ROUND_ROBIN", "warmup": {"duration": window}}),
)
_here, _there = "region-a/zone-1/*", "region-b/*"
localities = st.sampled_from(
    [
        {"enabled": False},
        {"distribute": [{"from": _here, "to": {_here: 67, _there: 33}}]},
        {"failover": [{"from": "region-a", "to": "region-b"}]},
        {"failoverPriority": ["topology.kubernetes.io/region", "version"]},
    ]
)
policies = optional(
    connectionPool=pools,
    outlierDetection=outliers,
    loadBalancer=st.builds(lambda balancer, more: {**balancer, **more}, balancers, optional(localityLbSetting=localities)),
    tls=st.sampled_from(["DISABLE", "ISTIO_MUTUAL", "SIMPLE"]).map(lambda mode: {"mode": mode}),
    retryBudget=optional(percent=st.floats(0, 100), minRetryConcurrency=st.integers(0, 10)),
).filter(bool)
with_ports = st.builds(
    lambda policy, port: {**policy, **({"portLevelSettings": [{**port, "port": {"number": 80}}]} if port else {})},
    policies,
    st.one_of(st.none(), policies.map(lambda p: {k: v for k, v in p.items() if k != "retryBudget"}).filter(bool)),
)


entries = st.fixed_dictionaries(
    {
        "hosts": st.just(["elsewhere.example"]),
        "ports": st.sampled_from(["HTTP", "HTTP2", "TLS", "TCP"]).map(lambda p: [{"number": 80, "name": "port", "protocol": p}]),
        "location": st.sampled_from(["MESH_EXTERNAL", "MESH_INTERNAL"]),
    }
).flatmap(
    lambda entry: st.one_of(
        st.sampled_from(["NONE", "DNS", "DNS_ROUND_ROBIN"]).map(lambda resolution: {**entry, "resolution": resolution}),
        st.lists(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]), min_size=1, unique=True).map(
            lambda found: {**entry, "resolution": "STATIC", "endpoints": [{"address": address} for address in found]}
        ),
    )
)


@st.composite
def owners(draw: st.DrawFn) -> list[Manifest]:
    """What the owners of `WORKLOADS` wrote for their callers."""
    found = [manifest("ServiceEntry", "elsewhere", entry) for entry in draw(st.lists(entries, max_size=1))]
    for name in draw(st.lists(st.sampled_from(SERVICES), unique=True)):
        subsets = [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]
        subsets[0] |= draw(optional(trafficPolicy=with_ports))
        rule = {"host": name, "subsets": subsets, **draw(optional(trafficPolicy=with_ports))}
        found.append(manifest("DestinationRule", name, rule))
    for name in draw(st.lists(st.sampled_from([*SERVICES, "elsewhere.example"]), min_size=1, unique=True)):
        http = draw(st.lists(rules, min_size=1, max_size=4))
        found.append(manifest("VirtualService", name, {"hosts": [name], "http": http}))
    return found


# ------------------------------------------------------------------------------------------- what stands around services
GATEWAY = f"gateway.{NAMESPACE}"
EDGE = documents(
    [
        manifest(
            "Service",
            "gateway",
            {"selector": {"istio": "gateway"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
            "v1",
        ),
        manifest(
            "Deployment",
            "gateway",
            {
                "template": {
                    "metadata": {"labels": {"istio": "gateway"}},
                    "spec": {"containers": [{"name": "istio-proxy", "image": "auto", "ports": [{"containerPort": 8080}]}]},
                }
            },
            "apps/v1",
        ),
    ]
)
_outside = ["shop.example", "www.shop.example", "*.example", "*"]
_servers = st.fixed_dictionaries(
    {
        "port": st.sampled_from([(80, "HTTP"), (8443, "HTTP2"), (9000, "GRPC")]).map(
            lambda port: {"number": port[0], "name": f"p{port[0]}", "protocol": port[1]}
        ),
        "hosts": st.lists(
            st.builds(
                lambda place, host: place + host,
                st.sampled_from(["", "./", "*/", f"{NAMESPACE}/", "other/"]),
                st.sampled_from(_outside),
            ),
            min_size=1,
            max_size=3,
            unique=True,
        ),
    },
    optional={"tls": st.just({"httpsRedirect": True})},
)
gateways = st.lists(_servers, min_size=1, max_size=3, unique_by=lambda server: server["port"]["number"]).map(
    lambda servers: {"selector": {"istio": "gateway"}, "servers": servers}
)
sidecars = st.fixed_dictionaries(
    {
        "egress": st.lists(
            st.sampled_from(["./*", "*/*", "~/*", "./alpha.shop.svc.cluster.local", "*/elsewhere.example"]), min_size=1, unique=True
        ).map(lambda hosts: [{"hosts": hosts}])
    },
    optional={
        "ingress": st.sampled_from(["127.0.0.1:9001", "0.0.0.0:9001", "unix:///tmp/app"]).map(
            lambda to: [{"port": {"number": 9000, "protocol": "HTTP", "name": "http"}, "defaultEndpoint": to}]
        ),
        "outboundTrafficPolicy": st.sampled_from([{"mode": "REGISTRY_ONLY"}, {"mode": "ALLOW_ANY"}]),
        "inboundConnectionPool": pools.filter(bool),
    },
)
_FAULT = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
_MANAGER = {"filterChain": {"filter": {"name": "envoy.filters.network.http_connection_manager"}}}
_BEFORE_CORS = {"filterChain": {"filter": {**_MANAGER["filterChain"]["filter"], "subFilter": {"name": "envoy.filters.http.cors"}}}}
_patches = st.sampled_from(
    [
        ("HTTP_FILTER", {"listener": _MANAGER}, "INSERT_FIRST", {"name": "first", "typed_config": {"@type": _FAULT}}),
        ("HTTP_FILTER", {"listener": _BEFORE_CORS}, "INSERT_BEFORE", {"name": "before", "typed_config": {"@type": _FAULT}}),
        ("HTTP_FILTER", {"listener": _BEFORE_CORS}, "REMOVE", None),
        ("CLUSTER", {}, "MERGE", {"connect_timeout": "3s", "outlier_detection": {"consecutive_5xx": 0, "interval": "1s"}}),
        ("CLUSTER", {"cluster": {"service": "alpha.shop.svc.cluster.local"}}, "MERGE", {"respect_dns_ttl": False}),
        ("VIRTUAL_HOST", {}, "MERGE", {"request_headers_to_add": [{"header": {"key": "x-ef", "value": "1"}}]}),
        ("VIRTUAL_HOST", {}, "ADD", {"name": "added", "domains": ["added.example"], "routes": []}),
        ("HTTP_ROUTE", {}, "INSERT_FIRST", {"name": "ours", "match": {"prefix": "/ours"}, "direct_response": {"status": 204}}),
        ("HTTP_ROUTE", {"routeConfiguration": {"vhost": {"route": {"action": "ROUTE"}}}}, "MERGE", {"route": {"timeout": "4s"}}),
        ("ROUTE_CONFIGURATION", {}, "MERGE", {"response_headers_to_remove": ["x-powered-by"]}),
        (
            "NETWORK_FILTER",
            {"listener": _MANAGER},
            "MERGE",
            {
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    "max_request_headers_kb": 90,
                }
            },
        ),
    ]
).map(
    lambda patch: {
        "applyTo": patch[0],
        "match": patch[1],
        "patch": {"operation": patch[2], **({"value": patch[3]} if patch[3] else {})},
    }
)
_SERVER = {"selector": {"app": "alpha"}}
kubernetes = st.lists(
    st.sampled_from(
        [
            ("headless", {**_SERVER, "clusterIP": "None", "ports": [{"name": "http", "port": 80, "targetPort": 9000}]}),
            ("sniffed", {**_SERVER, "ports": [{"port": 7000, "targetPort": 9000}]}),
            (
                "several",
                {**_SERVER, "ports": [{"name": "http-a", "port": 80}, {"name": "tcp-b", "port": 81}, {"name": "c", "port": 82}]},
            ),
            ("web", {**_SERVER, "ports": [{"name": "x", "port": 8080, "appProtocol": "grpc-web"}]}),
            ("near", {**_SERVER, "trafficDistribution": "PreferClose", "ports": [{"name": "http", "port": 80}]}),
            (
                "alias",
                {"type": "ExternalName", "externalName": "alpha.shop.svc.cluster.local", "ports": [{"name": "http", "port": 80}]},
            ),
        ]
    ),
    unique_by=lambda pair: pair[0],
    max_size=3,
).map(lambda found: [manifest("Service", name, spec, "v1") for name, spec in found])
meshes = optional(
    outboundTrafficPolicy=st.just({"mode": "REGISTRY_ONLY"}),
    connectTimeout=durations,
    defaultHttpRetryPolicy=retries,
    # No shares: they empty the one endpoint of a host resolved round robin, which Envoy does not take from istiod either.
    localityLbSetting=localities.filter(lambda setting: "distribute" not in setting),
    h2UpgradePolicy=st.just("UPGRADE"),
    pathNormalization=st.sampled_from(["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]).map(
        lambda n: {"normalization": n}
    ),
    proxyHttpPort=st.just(15080),
    tcpKeepalive=optional(probes=st.integers(0, 9), time=durations),
    defaultTrafficPolicy=optional(connectionPool=pools.filter(bool), outlierDetection=outliers),
)


@st.composite
def surroundings(draw: st.DrawFn) -> list[Manifest]:
    """Gateways with their rules and delegates, Sidecars, EnvoyFilters and services of other kinds, beside `WORKLOADS` and `EDGE`."""
    found: list[Manifest] = draw(kubernetes)
    for number, gateway in enumerate(draw(st.lists(gateways, max_size=2))):
        found.append(manifest("Gateway", f"gw-{number}", gateway))
        for index, hosts in enumerate(draw(st.lists(st.sampled_from(_outside[:3]), max_size=3, unique=True))):
            http = draw(st.lists(rules, min_size=1, max_size=3))
            if draw(st.booleans()):
                found.append(manifest("VirtualService", f"delegate-{number}-{index}", {"http": http}))
                http = [{"match": [{"uri": {"prefix": "/"}}], "delegate": {"name": f"delegate-{number}-{index}"}}, *http]
            rule = {"hosts": [hosts], "gateways": [f"gw-{number}"], "http": http}
            found.append(manifest("VirtualService", f"edge-{number}-{index}", rule))
    found += [manifest("Sidecar", "default", spec) for spec in draw(st.lists(sidecars, max_size=1))]
    patches = draw(st.lists(_patches, max_size=3, unique_by=str))
    if patches:
        found.append(manifest("EnvoyFilter", "ef", {"configPatches": patches}, "networking.istio.io/v1alpha3"))
    return found


# ------------------------------------------------------------------------------------------ which rule takes a request
@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client may send."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Rules of one service, each answering with its own name, and requests to it."""

    rules: tuple[Rule, ...]
    requests: tuple[Request, ...]

    def taker(self, request: Request) -> str | None:
        """Name of the rule that takes it; "default" where no rule is for this client at all, None for nobody.

        As the VirtualService reference says it: rules in order, entries of `match` are alternatives, conditions of one entry all hold.
        """
        ours = [(rule, m) for rule in self.rules for m in rule.get("match", [{}]) if _concerns_client(m)]
        if not ours:
            return "default"
        return next((rule["name"] for rule, match in ours if _holds(match, request)), None)


def _concerns_client(match: Mapping[str, Any]) -> bool:
    client = {"sourceLabels": {"app": "client"}, "sourceNamespace": NAMESPACE, "port": 80}
    return all(match.get(key, value) == value for key, value in client.items())


def _holds(match: Mapping[str, Any], request: Request) -> bool:
    conditions = [_path_holds(match, request.path)]
    if "method" in match:
        conditions.append(_string_holds(match["method"], request.method))
    for where, values in (("headers", request.headers), ("queryParams", request.query)):
        for name, condition in match.get(where, {}).items():
            conditions.append(name in values and _string_holds(condition, values[name]))
    for name, condition in match.get("withoutHeaders", {}).items():
        # A header that is not there is an empty one, where a value is asked for.
        there = _string_holds(condition, request.headers.get(name, "")) if condition else name in request.headers
        conditions.append(not there)
    return all(conditions)


def _path_holds(match: Mapping[str, Any], path: str) -> bool:
    condition = match.get("uri")
    if condition is None:
        return True
    if match.get("ignoreUriCase") and "regex" not in condition:
        return _string_holds({kind: value.lower() for kind, value in condition.items()}, path.lower())
    return _string_holds(condition, path)


def _string_holds(condition: Mapping[str, str], value: str) -> bool:
    """An empty condition asks for anything."""
    if "exact" in condition:
        return value == condition["exact"]
    if "prefix" in condition:
        return value.startswith(condition["prefix"])
    return re.fullmatch(condition.get("regex", ".*"), value) is not None


_few = st.sampled_from(["1", "12", "2"])
_conditions: SearchStrategy[dict[str, str]] = st.one_of(
    _few.map(lambda value: {"exact": value}), _few.map(lambda value: {"prefix": value}), st.just({"regex": "[12]+"}), st.just({})
)
_uris = st.one_of(
    st.sampled_from(["/", "/a", "/a/b", "/A"]).map(lambda path: {"exact": path}),
    st.sampled_from(["/", "/a", "/A", "/a/"]).map(lambda path: {"prefix": path}),
    st.sampled_from([".*", "/a.*", "/[a-z]", "/a|/b"]).map(lambda regex: {"regex": regex}),
)
_parts: dict[str, SearchStrategy[Any]] = {
    "uri": _uris,
    "method": st.sampled_from([{"exact": "GET"}, {"prefix": "P"}, {"regex": "P.*T"}]),
    "headers": st.dictionaries(st.sampled_from(["x-a", "x-b"]), _conditions, min_size=1),
    "withoutHeaders": st.dictionaries(st.sampled_from(["x-a", "x-c"]), _conditions, min_size=1, max_size=1),
    "queryParams": st.dictionaries(st.just("q"), _conditions, min_size=1),
    "sourceLabels": st.sampled_from([{"app": "client"}, {"app": "stranger"}]),
    "sourceNamespace": st.sampled_from([NAMESPACE, "elsewhere"]),
    "port": st.sampled_from([80, 81]),
}
# Few conditions each, else nothing would ever match.
_entries = st.builds(
    lambda match, ignore_case: {**match, "ignoreUriCase": True} if ignore_case and "uri" in match else match,
    st.sets(st.sampled_from(sorted(_parts)), min_size=1, max_size=3).flatmap(
        lambda keys: st.fixed_dictionaries({key: _parts[key] for key in sorted(keys)})
    ),
    st.booleans(),
)
_requests = st.builds(
    Request,
    method=st.sampled_from(["GET", "POST", "PUT"]),
    path=st.sampled_from(["/", "/a", "/a/b", "/A", "/ab", "/b", "/A/B"]),
    query=st.dictionaries(st.sampled_from(["q", "r"]), _few, max_size=2),
    headers=st.dictionaries(st.sampled_from(["x-a", "x-b", "x-c"]), _few, max_size=3),
)


@st.composite
def routings(draw: st.DrawFn) -> Routing:
    matched = draw(st.lists(st.lists(_entries, min_size=1, max_size=3).map(lambda match: {"match": match}), min_size=1, max_size=5))
    written: list[Rule] = [*matched, *([{}] if draw(st.booleans()) else [])]
    named = [
        {**rule, "name": f"r{number}", "directResponse": {"status": 200, "body": {"string": f"r{number}"}}}
        for number, rule in enumerate(written)
    ]
    return Routing(rules=tuple(named), requests=tuple(draw(st.lists(_requests, min_size=4, max_size=8))))
