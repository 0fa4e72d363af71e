"""What does this proxy's own configuration say? ProxyConfig: the mesh's defaultConfig under the pod's annotation.

Facts: istio mesh/v1alpha1 ProxyConfig; `proxy.istio.io/config` (pkg/bootstrap) is merged over `defaultConfig`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from chaos.istio.workloads import Pod
from chaos.istio.world import World

ANNOTATION = "proxy.istio.io/config"


def proxy_config(world: World, pod: Pod) -> Mapping[str, Any]:
    """The merged ProxyConfig, as written; an annotation that is no YAML mapping counts for nothing, as in istiod."""
    return world.remember(("proxy config", pod.id), lambda: _merged(world.mesh.proxy_config, _annotated(pod)))


def proxy_headers(world: World, pod: Pod) -> Mapping[str, Any]:
    """`proxyHeaders`: which headers of its own a proxy adds."""
    headers: Mapping[str, Any] = proxy_config(world, pod).get("proxyHeaders") or {}
    return headers


def disabled(headers: Mapping[str, Any], name: str) -> bool:
    """Is `proxyHeaders.<name>` switched off?"""
    return bool((headers.get(name) or {}).get("disabled"))


def tells_forwarded_host(world: World, pod: Pod) -> bool:
    """`proxyHeaders.xForwardedHost`: off unless enabled."""
    return bool((proxy_headers(world, pod).get("xForwardedHost") or {}).get("enabled"))


def _annotated(pod: Pod) -> Mapping[str, Any]:
    text = pod.annotations.get(ANNOTATION)
    if not text:
        return {}
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Mapping[str, Any]:
    out = dict(below)
    for key, value in above.items():
        known = out.get(key)
        out[key] = _merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return out
