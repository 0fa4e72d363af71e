"""When does istiod refuse a Telemetry or a ProxyConfig, and when does it warn?

Source: istio pkg/config/validation (`ValidateTelemetry`, `ValidateProxyConfig`). Filter expressions (CEL) are not read.
"""

from __future__ import annotations

from chaos.istio.validate.checker import Checker
from chaos.istio.validate.decoding import Message
from chaos.istio.validate.selectors import match_labels_selector, policy_targets


def check_telemetry(check: Checker, spec: Message) -> None:
    policy_targets(check, spec)
    for part in (*spec["metrics"], *spec["tracing"], *spec["access_logging"]):
        if any(not provider["name"] for provider in part["providers"]):
            check.error(part.at("providers"), "providers.name may not be empty")
    if len(spec["tracing"]) > 1:
        check.warn(spec.at("tracing"), "multiple tracing is not currently supported")
    for tracing in spec["tracing"]:
        _check_tracing(check, tracing)
    for metrics in spec["metrics"]:
        for override in metrics["overrides"]:
            _check_override(check, override)


def _check_tracing(check: Checker, tracing: Message) -> None:
    if len(tracing["providers"]) > 1:
        check.warn(tracing.at("providers"), "multiple providers is not currently supported")
    if not 0 <= (tracing["random_sampling_percentage"] or 0) <= 100:
        why = "randomSamplingPercentage must be in range [0.0, 100.0]"
        check.error(tracing.at("random_sampling_percentage"), why)
    for name, tag in tracing["custom_tags"].items():
        if not name:
            check.error(tracing.at("custom_tags"), "tag name may not be empty")
        if tag["literal"] and not tag["literal"]["value"]:
            check.error(tag.path, "literal tag value may not be empty")
        for kind in ("header", "environment"):
            if tag[kind] and not tag[kind]["name"]:
                check.error(tag.path, f"{kind} tag name may not be empty")


def _check_override(check: Checker, override: Message) -> None:
    for name, tag in override["tag_overrides"].items():
        if not name:
            check.warn(override.at("tag_overrides"), "tagOverrides.name may not be empty")
        if tag["operation"] == "UPSERT" and not tag["value"]:
            check.error(tag.path, "tagOverrides.value must be set when operation is UPSERT")
        if tag["operation"] == "REMOVE" and tag["value"]:
            check.error(tag.path, "tagOverrides.value may only be set when operation is UPSERT")
    if override["match"].which("custom_metric") and not override["match"]["custom_metric"]:
        check.error(override["match"].path, "customMetric may not be empty")


def check_proxy_config(check: Checker, spec: Message) -> None:
    match_labels_selector(check, spec["selector"])
    if (spec["concurrency"] or 0) < 0:
        check.error(spec.at("concurrency"), "concurrency must be greater than or equal to 0")
