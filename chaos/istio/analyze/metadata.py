"""What does `istioctl analyze` find in Istio's annotations?

Source: istio pkg/config/analysis/analyzers/annotations, the table of istio.io/api/annotation, and the checks of the
injector (istio pkg/kube/inject). Only annotations of Namespaces, Services, pods and Deployments are looked at.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping

import yaml

from chaos.istio.analyze.cluster import INJECT, Cluster, on_pod, texts
from chaos.istio.findings import Finding, Level, about
from chaos.istio.validate import values

_ANY = "Any"
_INGRESS_CLASS = "kubernetes.io/ingress.class"
# Kind -> the annotations that belong on it.
_KNOWN: Mapping[str, tuple[str, ...]] = {
    _ANY: ("galley.istio.io/analyze-suppress", "gateway.istio.io/controller-version"),
    "AuthorizationPolicy": ("istio.io/dry-run",),
    "Gateway": (
        "ambient.istio.io/waypoint-inbound-binding", "gateway.istio.io/name-override", "gateway.istio.io/service-account",
        "networking.istio.io/service-type",
    ),
    "GatewayClass": ("ambient.istio.io/waypoint-inbound-binding",),
    "Ingress": (_INGRESS_CLASS,),
    "Namespace": ("topology.istio.io/controlPlaneClusters",),
    "Pod": (
        "ambient.istio.io/bypass-inbound-capture", "ambient.istio.io/redirection", "inject.istio.io/templates",
        "istio.io/rev", "prometheus.istio.io/merge-metrics", "proxy.istio.io/config", "proxy.istio.io/overrides",
        "status.sidecar.istio.io/port",
        *(
            f"readiness.status.sidecar.istio.io/{name}"
            for name in ("applicationPorts", "failureThreshold", "initialDelaySeconds", "periodSeconds")
        ),
        *(
            f"sidecar.istio.io/{name}"
            for name in (
                "agentLogLevel", "bootstrapOverride", "componentLogLevel", "discoveryAddress", "enableCoreDump",
                "extraStatTags", "inject", "interceptionMode", "logLevel", "nativeSidecar", "proxyCPU", "proxyCPULimit",
                "proxyImage", "proxyImageType", "proxyMemory", "proxyMemoryLimit", "rewriteAppHTTPProbers",
                "statsHistogramBuckets", "statsInclusionPrefixes", "statsInclusionRegexps", "statsInclusionSuffixes",
                "status", "userVolume", "userVolumeMount",
            )
        ),
        *(
            f"traffic.sidecar.istio.io/{name}"
            for name in (
                "excludeInboundPorts", "excludeInterfaces", "excludeOutboundIPRanges", "excludeOutboundPorts",
                "includeInboundPorts", "includeOutboundIPRanges", "includeOutboundPorts", "kubevirtInterfaces",
            )
        ),
    ),
    "Service": (
        "alpha.istio.io/canonical-serviceaccounts", "alpha.istio.io/kubernetes-serviceaccounts",
        "networking.istio.io/exportTo", "networking.istio.io/traffic-distribution", "traffic.istio.io/nodeSelector",
    ),
    "ServiceEntry": ("networking.istio.io/traffic-distribution",),
    "WorkloadEntry": tuple(
        f"istio.io/{name}" for name in ("autoRegistrationGroup", "connectedAt", "disconnectedAt", "workloadController")
    ),
}  # fmt: skip
_KINDS_OF = {name: tuple(kind for kind, names in _KNOWN.items() if name in names) for names in _KNOWN.values() for name in names}
# Annotation -> what to use instead.
_DEPRECATED = {
    **dict.fromkeys(_KNOWN["Service"][:2], ""),
    **{f"sidecar.istio.io/{name}": "" for name in ("discoveryAddress", "extraStatTags")},
    **{f"sidecar.istio.io/statsInclusion{name}": "" for name in ("Prefixes", "Regexps", "Suffixes")},
    INJECT: f' in favor of the "{INJECT}" label',
}
_INTERCEPTION = ("REDIRECT", "TPROXY", "NONE")


def istio_annotations(cluster: Cluster) -> Iterator[Finding]:
    """IST0107: on the wrong kind. IST0108: unknown. IST0125: a bad value. IST0135: deprecated."""
    for document in cluster.world.documents:
        if (document.kind, document.group) in (("Namespace", ""), ("Service", ""), ("Deployment", "apps")):
            labels = texts(document.metadata.get("labels"))
            for name, value in texts(document.metadata.get("annotations")).items():
                for code, level, why in _remarks(document.kind, name, value, labels):
                    yield about(document, code, level, why, "metadata", "annotations", name)
    for pod in cluster.pods:
        for name, value in pod.annotations.items():
            for code, level, why in _remarks("Pod", name, value, pod.labels):
                yield on_pod(pod, code, level, why, "metadata", "annotations", name)


def _remarks(kind: str, name: str, value: str, labels: Mapping[str, str]) -> Iterator[tuple[str, Level, str]]:
    if not _is_istios(name):
        return
    kinds = _KINDS_OF.get(name)
    if kinds is None:
        yield "IST0108", Level.WARNING, f"Unknown annotation: {name}"
        return
    if name in _DEPRECATED and not (name == INJECT and INJECT in labels):
        why = f'Annotation "{name}" has been deprecated{_DEPRECATED[name]} and may not work in future Istio versions.'
        yield "IST0135", Level.INFO, why
    if kind not in kinds and _ANY not in kinds:
        yield "IST0107", Level.WARNING, f"Misplaced annotation: {name} can only be applied to {' '.join(kinds)}"
        return
    if name in _VALUES and (wrong := _VALUES[name](value)):
        yield "IST0125", Level.WARNING, f"Invalid annotation {name}: {wrong}"


def _is_istios(name: str) -> bool:
    return name == _INGRESS_CLASS or name.partition("/")[0].endswith("istio.io")


# ------------------------------------------------------------------------------------- what is wrong with a value, or ""
def _interception(value: str) -> str:
    return "" if value in _INTERCEPTION else f'interceptionMode invalid, use {",".join(_INTERCEPTION)}: "{value}"'


def _number(limit: int) -> Callable[[str], str]:
    def check(value: str) -> str:
        fits = value.isascii() and value.isdigit() and int(value) <= limit
        return "" if fits else f'"{value}" is not a number up to {limit}'

    return check


_port = _number(2**16 - 1)


def _ports(value: str) -> str:
    wrong = (part for text in value.split(",") if (part := text.strip()) and _port(part))
    return next((f"failed parsing port '{part}'" for part in wrong), "")


def _ports_or_all(value: str) -> str:
    return "" if value.strip() == "*" else _ports(value)


def _ranges(value: str) -> str:
    for text in filter(None, value.split(",")):
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            return f"failed parsing cidr '{text}': invalid CIDR address: {text}"
        if "/" not in text:
            return f"failed parsing cidr '{text}': invalid CIDR address: {text}"
    return ""


def _ranges_or_all(value: str) -> str:
    return "" if value == "*" else _ranges(value)


def _truth(value: str) -> str:
    return "" if value in values.TRUTH else f'strconv.ParseBool: parsing "{value}": invalid syntax'


def _proxy_config(value: str) -> str:
    try:
        config = yaml.safe_load(value)
    except yaml.YAMLError as error:
        return f"invalid proxy config: {error}"
    return "" if config is None or isinstance(config, dict) else "invalid proxy config: not a mapping"


_VALUES: Mapping[str, Callable[[str], str]] = {
    "sidecar.istio.io/interceptionMode": _interception,
    "status.sidecar.istio.io/port": _port,
    "readiness.status.sidecar.istio.io/initialDelaySeconds": _number(2**32 - 1),
    "readiness.status.sidecar.istio.io/periodSeconds": _number(2**32 - 1),
    "readiness.status.sidecar.istio.io/failureThreshold": _number(2**32 - 1),
    "traffic.sidecar.istio.io/includeOutboundIPRanges": _ranges_or_all,
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": _ranges,
    "traffic.sidecar.istio.io/includeInboundPorts": _ports_or_all,
    "traffic.sidecar.istio.io/excludeInboundPorts": _ports,
    "traffic.sidecar.istio.io/includeOutboundPorts": _ports,
    "traffic.sidecar.istio.io/excludeOutboundPorts": _ports,
    "prometheus.istio.io/merge-metrics": _truth,
    "proxy.istio.io/config": _proxy_config,
}
ANALYZERS = (istio_annotations,)
