"""What holds for the whole mesh? The MeshConfig fields that show in traffic, with Istio's defaults.

Read from `--mesh-config`: MeshConfig itself, the ConfigMap `istio` that carries it, or an IstioOperator. Defaults are
those of istio pkg/config/mesh `DefaultMeshConfig`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from chaos.errors import ConfigurationError
from chaos.istio import durations
from chaos.istio.hosts import DOMAIN, EVERYONE

ALLOW_ANY = "ALLOW_ANY"
REGISTRY_ONLY = "REGISTRY_ONLY"
_KINDS_INSIDE = {"IstioOperator": ("spec", "meshConfig"), "Istio": ("spec", "values", "meshConfig")}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshConfig:
    """A frozen view; blocks that objects can override (retries, locality, keepalive) stay as written, None where absent."""

    root_namespace: str = "istio-system"
    domain: str = DOMAIN
    outbound_mode: str = ALLOW_ANY
    inbound_mode: str = "PASSTHROUGH"
    connect_timeout: timedelta = timedelta(seconds=10)
    tcp_keepalive: Mapping[str, Any] | None = None
    dns_refresh_rate: timedelta = timedelta(seconds=60)
    outbound_cluster_stat_name: str = ""
    inbound_cluster_stat_name: str = ""
    default_http_retry_policy: Mapping[str, Any] | None = None
    default_inbound_http_retry_policy: Mapping[str, Any] | None = None
    default_connection_pool: Mapping[str, Any] | None = None
    default_outlier_detection: Mapping[str, Any] | None = None
    locality_lb_setting: Mapping[str, Any] | None = None
    h2_upgrade: bool = False
    default_service_export_to: tuple[str, ...] = (EVERYONE,)
    default_virtual_service_export_to: tuple[str, ...] = (EVERYONE,)
    default_destination_rule_export_to: tuple[str, ...] = (EVERYONE,)
    path_normalization: str = "BASE"
    proxy_http_port: int = 0
    extension_providers: tuple[Mapping[str, Any], ...] = ()
    default_access_logging: tuple[str, ...] = ()
    proxy_config: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any] | None) -> MeshConfig:
        """From MeshConfig as YAML gives it; None means Istio's defaults. Raises ConfigurationError with the field."""
        raw = raw or {}
        locality, traffic = _block(raw, "localityLbSetting"), _block(raw, "defaultTrafficPolicy") or {}
        return cls(
            root_namespace=str(raw.get("rootNamespace") or "istio-system"),
            outbound_mode=str((_block(raw, "outboundTrafficPolicy") or {}).get("mode") or ALLOW_ANY),
            inbound_mode=str((_block(raw, "inboundTrafficPolicy") or {}).get("mode") or "PASSTHROUGH"),
            connect_timeout=_duration(raw, "connectTimeout", timedelta(seconds=10)),
            tcp_keepalive=_block(raw, "tcpKeepalive"),
            dns_refresh_rate=_duration(raw, "dnsRefreshRate", timedelta(seconds=60)),
            outbound_cluster_stat_name=str(raw.get("outboundClusterStatName") or ""),
            inbound_cluster_stat_name=str(raw.get("inboundClusterStatName") or ""),
            default_http_retry_policy=_block(raw, "defaultHttpRetryPolicy"),
            default_inbound_http_retry_policy=_block(raw, "defaultInboundHttpRetryPolicy"),
            default_connection_pool=_block(traffic, "connectionPool"),
            default_outlier_detection=_block(traffic, "outlierDetection"),
            locality_lb_setting=locality,
            h2_upgrade=raw.get("h2UpgradePolicy") == "UPGRADE",
            default_service_export_to=_names(raw, "defaultServiceExportTo") or (EVERYONE,),
            default_virtual_service_export_to=_names(raw, "defaultVirtualServiceExportTo") or (EVERYONE,),
            default_destination_rule_export_to=_names(raw, "defaultDestinationRuleExportTo") or (EVERYONE,),
            path_normalization=_normalization(raw),
            proxy_http_port=_port(raw, "proxyHttpPort"),
            extension_providers=tuple(raw.get("extensionProviders") or ()),
            default_access_logging=_names(_block(raw, "defaultProviders") or {}, "accessLogging"),
            proxy_config=_block(raw, "defaultConfig") or {},
            raw=raw,
        )

    @property
    def locality_enabled(self) -> bool:
        """On unless said otherwise: `localityLbSetting.enabled` is a wrapper value that defaults to true."""
        return (self.locality_lb_setting or {}).get("enabled") is not False


def read(file: Path) -> Mapping[str, Any]:
    """The MeshConfig in a file, whatever carries it. Raises ConfigurationError."""
    try:
        found = _unwrapped(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{file}: cannot be read as MeshConfig: {error}") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"{file}: MeshConfig is a mapping of its fields, not {type(found).__name__}")
    return found


def _unwrapped(raw: Any) -> Any:
    """Out of the ConfigMap, IstioOperator or Istio resource that carries it."""
    if not isinstance(raw, dict):
        return {} if raw is None else raw
    if raw.get("kind") == "ConfigMap":
        return yaml.safe_load(str((raw.get("data") or {}).get("mesh") or "")) or {}
    for key in _KINDS_INSIDE.get(str(raw.get("kind")), ()):
        raw = (raw.get(key) if isinstance(raw, dict) else None) or {}
    return raw


def _block(raw: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    value = raw.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise ConfigurationError(f"MeshConfig {key}: a mapping is needed, not {value!r}")
    return value


def _names(raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = raw.get(key) or ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigurationError(f"MeshConfig {key}: a list is needed, not {value!r}")
    return tuple(map(str, value))


def _normalization(raw: Mapping[str, Any]) -> str:
    value = str((_block(raw, "pathNormalization") or {}).get("normalization") or "DEFAULT")
    return "BASE" if value == "DEFAULT" else value


def _port(raw: Mapping[str, Any], key: str) -> int:
    text = str(raw.get(key) or 0)
    if not text.isdigit():
        raise ConfigurationError(f"MeshConfig {key}: a port number is needed, not {raw[key]!r}")
    return int(text)


def _duration(raw: Mapping[str, Any], key: str, default: timedelta) -> timedelta:
    if raw.get(key) is None:
        return default
    try:
        return durations.parse(raw[key])
    except ValueError as error:
        raise ConfigurationError(f"MeshConfig {key}: {error}") from error
