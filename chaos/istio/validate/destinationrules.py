"""When does istiod refuse a DestinationRule, and when does it warn?

Sources: istio pkg/config/validation (`ValidateDestinationRule`) and pkg/config/validation/agent (`ValidateTLS`,
`ValidateLocalityLbSetting`). Warnings of a subset's or port's policy are lost, as in Istio.
"""

from __future__ import annotations

from chaos.istio.durations import MILLISECOND
from chaos.istio.validate import values
from chaos.istio.validate.checker import Checker
from chaos.istio.validate.decoding import Message
from chaos.istio.validate.selectors import export_to, match_labels_selector

_BLOCKS = ("outlier_detection", "connection_pool", "load_balancer", "tls")
_MORE_BLOCKS = ("port_level_settings", "tunnel", "proxy_protocol", "retry_budget")
_TOPOLOGY = frozenset({"topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"})
_LARGEST_MAGLEV = 5000011
_CONFIG_MAP = "configmap://"


def check_destination_rule(check: Checker, spec: Message, namespace: str) -> None:
    check.refuse(spec.at("host"), values.wildcard_domain(spec["host"]))
    _check_policy(check, spec["traffic_policy"], namespace)
    names: set[str] = set()
    silent = check.without_warnings()
    for subset in spec["subsets"]:
        if subset["name"] in names:
            check.error(subset.at("name"), f"duplicate subset names: {subset['name']}")
        names.add(subset["name"])
        check.refuse(subset.at("name"), values.subset_name(subset["name"]))
        check.refuse(subset.at("labels"), values.labels(subset["labels"]))
        _check_policy(silent, subset["traffic_policy"], namespace)
    export_to(check, spec, namespace, with_selector=bool(spec["workload_selector"]))
    match_labels_selector(check, spec["workload_selector"])


def _check_policy(check: Checker, policy: Message, namespace: str) -> None:
    if not policy:
        return
    if not any(policy[block] for block in (*_BLOCKS, *_MORE_BLOCKS)):
        check.error(policy.path, "traffic policy must have at least one field")
        return
    if policy["tunnel"] and policy["proxy_protocol"]:
        check.error(policy.path, "tunnel and proxyProtocol must not be set together")
        return
    _check_blocks(check, policy, namespace)
    silent = check.without_warnings()
    for settings in policy["port_level_settings"]:
        if not settings["port"]:
            check.error(settings.path, "portTrafficPolicy must have valid port")
        if not any(settings[block] for block in _BLOCKS):
            check.error(settings.path, "port traffic policy must have at least one field")
        else:
            _check_blocks(silent, settings, namespace)
    _check_tunnel(check, policy["tunnel"])


def _check_blocks(check: Checker, policy: Message, namespace: str) -> None:
    """What a policy and its settings for one port share."""
    _check_outliers(check, policy["outlier_detection"])
    check_pool(check, policy["connection_pool"])
    _check_load_balancer(check, policy["load_balancer"], policy["outlier_detection"])
    _check_client_tls(check, policy["tls"], namespace)


def _check_outliers(check: Checker, outlier: Message) -> None:
    if not outlier:
        return
    for field in ("base_ejection_time", "interval"):
        if outlier.has(field):
            check.refuse(outlier.at(field), values.duration(outlier[field]))
    if outlier["consecutive_errors"]:
        check.warn(
            outlier.at("consecutive_errors"),
            "outlier detection consecutive errors is deprecated, use consecutiveGatewayErrors or consecutive5xxErrors instead",
        )
    if not outlier["split_external_local_origin_errors"] and outlier["consecutive_local_origin_failures"]:
        check.error(
            outlier.at("consecutive_local_origin_failures"),
            "outlier detection consecutive local origin failures is specified, "
            "but split external local origin errors is set to false",
        )
    for field in ("max_ejection_percent", "min_health_percent"):
        check.refuse(outlier.at(field), values.percent(outlier[field]))


def check_pool(check: Checker, pool: Message) -> None:
    """Connection pool settings, also those of a Sidecar."""
    if not pool:
        return
    http, tcp = pool["http"], pool["tcp"]
    if not http and not tcp:
        check.error(pool.path, "connection pool must have at least one field")
        return
    limits = {
        "http1_max_pending_requests": "http1 max pending requests",
        "http2_max_requests": "http2 max requests",
        "max_requests_per_connection": "max requests per connection",
        "max_retries": "max retries",
        "max_concurrent_streams": "max concurrent streams",
    }
    for field, name in limits.items():
        if http[field] < 0:
            check.error(http.at(field), f"{name} must be non-negative")
    if http["h2_upgrade_policy"] == "UPGRADE" and http["use_client_protocol"]:
        check.error(http.path, "use client protocol must not be true when H2UpgradePolicy is UPGRADE")
    if tcp["max_connections"] < 0:
        check.error(tcp.at("max_connections"), "max connections must be non-negative")
    keepalive = tcp["tcp_keepalive"]
    for block, field in (
        (http, "idle_timeout"), (tcp, "connect_timeout"), (tcp, "max_connection_duration"),
        (keepalive, "time"), (keepalive, "interval"),
    ):  # fmt: skip
        if block.has(field):
            check.refuse(block.at(field), values.duration(block[field]))
    # 0s, and whatever Go rounds to 0 ms, switches the TCP idle timeout off.
    if tcp.has("idle_timeout") and abs(tcp["idle_timeout"]) >= MILLISECOND:
        check.refuse(tcp.at("idle_timeout"), values.duration(tcp["idle_timeout"]))


def _check_load_balancer(check: Checker, settings: Message, outlier: Message) -> None:
    if not settings:
        return
    _check_consistent_hash(check, settings["consistent_hash"])
    _check_locality(check, settings["locality_lb_setting"], outlier)
    warmup = settings["warmup"]
    if warmup and not warmup.has("duration"):
        check.error(warmup.path, "duration is required")
    elif warmup:
        check.refuse(warmup.at("duration"), values.duration(warmup["duration"]))
    if (warmup["minimum_percent"] or 0) > 100:
        check.error(warmup.at("minimum_percent"), "minimumPercent value should be less than or equal to 100")
    if warmup.has("aggression") and warmup["aggression"] < 1:
        check.error(warmup.at("aggression"), "aggression should be greater than or equal to 1")


def _check_consistent_hash(check: Checker, consistent_hash: Message) -> None:
    if consistent_hash["http_cookie"] and not consistent_hash["http_cookie"]["name"]:
        check.error(consistent_hash.at("http_cookie"), "name required for HttpCookie")
    if consistent_hash["minimum_ring_size"]:
        check.warn(
            consistent_hash.at("minimum_ring_size"),
            "consistent hash MinimumRingSize is deprecated, use ConsistentHashLB's RingHash configuration instead",
        )
        if consistent_hash.which("ring_hash", "maglev"):
            check.error(consistent_hash.path, "only one of MinimumRingSize or Maglev/Ringhash can be specified")
    maglev = consistent_hash["maglev"]
    if maglev:
        size, at = maglev["table_size"], maglev.at("table_size")
        if size == 0:
            check.error(at, "tableSize must be set for maglev")
        if size >= _LARGEST_MAGLEV:
            check.error(at, "tableSize must be less than 5000011 for maglev")
        elif not values.is_prime(size):
            check.error(at, "tableSize must be a prime number for maglev")


def _check_client_tls(check: Checker, tls: Message, namespace: str) -> None:
    mode, credential = tls["mode"], tls["credential_name"]
    if credential.startswith(_CONFIG_MAP):
        place, slash, name = credential.removeprefix(_CONFIG_MAP).partition("/")
        wrong = ""
        if not (place and slash and name):
            wrong = f"invalid resource name {values.quoted(credential)}. Expected namespace and name"
        elif place != namespace:
            wrong = f"namespace must match the configuration namespace {values.quoted(namespace)}"
        if wrong:
            check.error(tls.at("credential_name"), f"invalid configmap:// credentialName: {wrong}")
    if not tls or mode not in ("SIMPLE", "MUTUAL"):
        return
    if tls["insecure_skip_verify"]:
        names = tls.has("subject_alt_names") and tls["subject_alt_names"]
        if mode == "SIMPLE" and (tls["ca_certificates"] or credential or names):
            why = "cannot specify CaCertificates or CredentialName or SubjectAltNames when InsecureSkipVerify is set true"
            check.error(tls.path, why)
        elif mode == "MUTUAL" and (tls["ca_certificates"] or names):
            why = "cannot specify CaCertificates or SubjectAltNames when InsecureSkipVerify is set true"
            check.error(tls.path, why)
    if credential:
        if any(tls[field] for field in ("client_certificate", "ca_certificates", "private_key", "ca_crl")):
            why = "cannot specify client certificates or CA certificate or CA CRL If credentialName is set"
            check.error(tls.path, why)
        return
    if mode == "MUTUAL":
        for field, name in (("client_certificate", "client certificate"), ("private_key", "private key")):
            if not tls[field]:
                check.error(tls.path, f"{name} required for mutual tls")


def _check_tunnel(check: Checker, tunnel: Message) -> None:
    if not tunnel:
        return
    if tunnel["protocol"] not in ("", "CONNECT", "POST"):
        check.error(tunnel.at("protocol"), 'tunnel protocol must be "CONNECT" or "POST"')
    target = tunnel["target_host"]
    not_name, not_address = values.fqdn(target), values.ip_address(target)
    if not_name and not_address:
        why = f"tunnel target host must be valid FQDN or IP address: {not_name}; {not_address}"
        check.error(tunnel.at("target_host"), why)
    if wrong := values.port(tunnel["target_port"]):
        check.error(tunnel.at("target_port"), f"tunnel target port is invalid: {wrong}")


# ----------------------------------------------------------------------------------------------------------- locality
def _check_locality(check: Checker, setting: Message, outlier: Message) -> None:
    """Istio stops at the first thing wrong with the weights."""
    distribute, failover, priority = setting["distribute"], setting["failover"], setting["failover_priority"]
    if distribute and failover:
        check.error(setting.path, "can not simultaneously specify 'distribute' and 'failover'")
        return
    topology = next((label for label in priority if label in _TOPOLOGY), None)
    if failover and topology:
        why = f"can not simultaneously set 'failover' and topology label '{topology}' in 'failover_priority'"
        check.error(setting.path, why)
        return
    for entry in distribute:
        weights = entry["to"].values()
        if any(not 1 <= weight <= 100 for weight in weights):
            check.error(entry.at("to"), "locality weight must be in range [1, 100]")
            return
        if sum(weights) != 100:
            check.error(entry.at("to"), f"total locality weight {sum(weights)} != 100")
            return
        check.refuse(entry.at("to"), _localities(list(entry["to"])))
    check.refuse(setting.at("distribute"), _localities([entry["from"] for entry in distribute]))
    if (failover or priority) and not outlier:
        check.warn(setting.path, "outlier detection policy must be provided for failover")
    for entry in failover:
        _check_failover(check, entry)


def _check_failover(check: Checker, entry: Message) -> None:
    both = entry["from"] + entry["to"]
    if entry["from"] == entry["to"]:
        check.error(entry.path, "locality lb failover settings must specify different regions")
    if "/" in both:
        check.error(entry.path, "locality lb failover only specify region")
    if "*" in both:
        check.error(entry.path, "locality lb failover region should not contain '*' wildcard")


def _localities(localities: list[str]) -> str | None:
    """Why a list of `region/zone/subzone` overlaps or is misspelt: a place may be named once, at one level only."""
    seen: dict[str, dict[str, set[str]]] = {}
    for locality in localities:
        if "*" in locality and (locality.count("*") > 1 or not locality.endswith("*")):
            return f"locality {locality} wildcard '*' number can not exceed 1 and must be in the end"
        parts = locality.split("/", 2)
        overlap = f"locality {locality} overlap with previous specified ones"
        if "*" in seen:
            return overlap
        if "" in parts:
            return f"locality {locality} must not contain empty region/zone/subzone info"
        region, zone, subzone = (*parts, "*", "*")[:3]
        zones = seen.setdefault(region, {})
        if ("*" in zones) or (len(parts) == 1 and zones):
            return overlap
        subzones = zones.setdefault(zone if len(parts) > 1 else "*", set())
        if "*" in subzones or (len(parts) == 2 and subzones) or subzone in subzones:
            return overlap
        subzones.add(subzone)
    return None
