"""Which fields do Istio's objects have? The messages of networking, security and telemetry, in the notation of `types`.

From the CRDs and protos of istio/api 1.29 (fields of newer releases included: they are only ever ignored). Fields stand in
the order of the protos where a oneof makes that matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from chaos.istio.validate.types import Types

_ENUMS = {
    "CaptureMode": ("DEFAULT", "IPTABLES", "NONE"),
    "ClientTLSMode": ("DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"),
    "ServerTLSMode": ("PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"),
    "TLSProtocol": ("TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"),
    "H2UpgradePolicy": ("DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"),
    "SimpleLB": ("UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"),
    "ProxyProtocolVersion": ("V1", "V2"),
    "UnmatchedPreflights": ("UNSPECIFIED", "FORWARD", "IGNORE"),
    "RedirectPortSelection": ("FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"),
    "OutboundMode": ("REGISTRY_ONLY", "ALLOW_ANY"),
    "Location": ("MESH_EXTERNAL", "MESH_INTERNAL"),
    "Resolution": ("NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"),
    "ApplyTo": (
        "INVALID", "LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER", "ROUTE_CONFIGURATION", "VIRTUAL_HOST",
        "HTTP_ROUTE", "CLUSTER", "EXTENSION_CONFIG", "BOOTSTRAP", "LISTENER_FILTER",
    ),
    "PatchContext": ("ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY", "WAYPOINT"),
    "PatchOperation": (
        "INVALID", "MERGE", "ADD", "REMOVE", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "REPLACE",
        "MERGE_AND_REPLACE_LIST",
    ),
    "FilterClass": ("UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"),
    "RouteAction": ("ANY", "ROUTE", "REDIRECT", "DIRECT_RESPONSE"),
    "MutualTLSMode": ("UNSET", "DISABLE", "PERMISSIVE", "STRICT"),
    "AuthorizationAction": ("ALLOW", "DENY", "AUDIT", "CUSTOM"),
    "WorkloadMode": ("CLIENT_AND_SERVER", "CLIENT", "SERVER"),
    "Metric": (
        "ALL_METRICS", "REQUEST_COUNT", "REQUEST_DURATION", "REQUEST_SIZE", "RESPONSE_SIZE", "TCP_OPENED_CONNECTIONS",
        "TCP_CLOSED_CONNECTIONS", "TCP_SENT_BYTES", "TCP_RECEIVED_BYTES", "GRPC_REQUEST_MESSAGES", "GRPC_RESPONSE_MESSAGES",
    ),
    "TagOperation": ("UPSERT", "REMOVE"),
}  # fmt: skip

_VIRTUAL_SERVICE = {
    "VirtualService": {
        "hosts": "[]string", "gateways": "[]string", "http": "[]HTTPRoute", "tls": "[]TLSRoute", "tcp": "[]TCPRoute",
        "export_to": "[]string",
    },
    "Delegate": {"name": "string", "namespace": "string"},
    "Destination": {"host": "string", "subset": "string", "port": "PortSelector"},
    "PortSelector": {"number": "uint32"},
    "HTTPRoute": {
        "name": "string", "match": "[]HTTPMatchRequest", "route": "[]HTTPRouteDestination", "redirect": "HTTPRedirect",
        "direct_response": "HTTPDirectResponse", "delegate": "Delegate", "rewrite": "HTTPRewrite", "timeout": "duration",
        "retries": "HTTPRetry", "fault": "HTTPFaultInjection", "mirror": "Destination", "mirrors": "[]HTTPMirrorPolicy",
        "mirror_percent": "uint32?", "mirror_percentage": "Percent", "cors_policy": "CorsPolicy", "headers": "Headers",
    },
    "HTTPMatchRequest": {
        "name": "string", "uri": "StringMatch", "scheme": "StringMatch", "method": "StringMatch", "authority": "StringMatch",
        "headers": "{}StringMatch", "port": "uint32", "source_labels": "{}string", "gateways": "[]string",
        "query_params": "{}StringMatch", "ignore_uri_case": "bool", "without_headers": "{}StringMatch",
        "source_namespace": "string", "stat_prefix": "string",
    },
    "StringMatch": {"exact": "string", "prefix": "string", "regex": "string"},
    "HTTPRouteDestination": {"destination": "Destination", "weight": "int32", "headers": "Headers"},
    "RouteDestination": {"destination": "Destination", "weight": "int32"},
    "Headers": {"request": "HeaderOperations", "response": "HeaderOperations"},
    "HeaderOperations": {"set": "{}string", "add": "{}string", "remove": "[]string"},
    "HTTPRedirect": {
        "uri": "string", "authority": "string", "port": "uint32", "derive_port": "RedirectPortSelection", "scheme": "string",
        "redirect_code": "uint32", "prefix_rewrite": "string",
    },
    "HTTPDirectResponse": {"status": "uint32", "body": "HTTPBody"},
    "HTTPBody": {"string": "string", "bytes": "bytes"},
    "HTTPRewrite": {"uri": "string", "authority": "string", "uri_regex_rewrite": "RegexRewrite"},
    "RegexRewrite": {"match": "string", "rewrite": "string"},
    "HTTPRetry": {
        "attempts": "int32", "per_try_timeout": "duration", "retry_on": "string", "retry_remote_localities": "bool?",
        "retry_ignore_previous_hosts": "bool?", "backoff": "duration",
    },
    "HTTPFaultInjection": {"delay": "Delay", "abort": "Abort"},
    "Delay": {"percent": "int32", "fixed_delay": "duration", "exponential_delay": "duration", "percentage": "Percent"},
    "Abort": {"http_status": "int32", "grpc_status": "string", "http2_error": "string", "percentage": "Percent"},
    "Percent": {"value": "double"},
    "HTTPMirrorPolicy": {"destination": "Destination", "percentage": "Percent"},
    "CorsPolicy": {
        "allow_origin": "[]string", "allow_origins": "[]StringMatch", "allow_methods": "[]string",
        "allow_headers": "[]string", "expose_headers": "[]string", "max_age": "duration", "allow_credentials": "bool?",
        "unmatched_preflights": "UnmatchedPreflights",
    },
    "TLSRoute": {"match": "[]TLSMatchAttributes", "route": "[]RouteDestination"},
    "TLSMatchAttributes": {
        "sni_hosts": "[]string", "destination_subnets": "[]string", "port": "uint32", "source_labels": "{}string",
        "gateways": "[]string", "source_namespace": "string",
    },
    "TCPRoute": {"match": "[]L4MatchAttributes", "route": "[]RouteDestination"},
    "L4MatchAttributes": {
        "destination_subnets": "[]string", "port": "uint32", "source_subnet": "string", "source_labels": "{}string",
        "gateways": "[]string", "source_namespace": "string",
    },
}  # fmt: skip

_POLICIES = {
    "outlier_detection": "OutlierDetection", "connection_pool": "ConnectionPoolSettings",
    "load_balancer": "LoadBalancerSettings", "tls": "ClientTLSSettings",
}  # fmt: skip
_DESTINATION_RULE = {
    "DestinationRule": {
        "host": "string", "traffic_policy": "TrafficPolicy", "subsets": "[]Subset", "export_to": "[]string",
        "workload_selector": "TypeWorkloadSelector",
    },
    "Subset": {"name": "string", "labels": "{}string", "traffic_policy": "TrafficPolicy"},
    "TrafficPolicy": {
        "load_balancer": "LoadBalancerSettings", "connection_pool": "ConnectionPoolSettings",
        "outlier_detection": "OutlierDetection", "tls": "ClientTLSSettings", "port_level_settings": "[]PortTrafficPolicy",
        "tunnel": "TunnelSettings", "proxy_protocol": "ProxyProtocol", "retry_budget": "RetryBudget",
    },
    "PortTrafficPolicy": {"port": "PortSelector"} | _POLICIES,
    "TunnelSettings": {"protocol": "string", "target_host": "string", "target_port": "uint32"},
    "ProxyProtocol": {"version": "ProxyProtocolVersion"},
    "RetryBudget": {"percent": "double?", "min_retry_concurrency": "uint32", "budget_interval": "duration"},
    "LoadBalancerSettings": {
        "simple": "SimpleLB", "consistent_hash": "ConsistentHashLB", "locality_lb_setting": "LocalityLbSetting",
        "zone_aware_lb_setting": "ZoneAwareLbSetting", "warmup_duration_secs": "duration", "warmup": "WarmupConfiguration",
    },
    "ConsistentHashLB": {
        "http_header_name": "string", "http_cookie": "HTTPCookie", "use_source_ip": "bool",
        "http_query_parameter_name": "string", "minimum_ring_size": "uint64", "ring_hash": "RingHash", "maglev": "Maglev",
    },
    "HTTPCookie": {"name": "string", "path": "string", "ttl": "duration", "attributes": "[]CookieAttribute"},
    "CookieAttribute": {"name": "string", "value": "string"},
    "RingHash": {"minimum_ring_size": "uint64"},
    "Maglev": {"table_size": "uint64"},
    "WarmupConfiguration": {"duration": "duration", "minimum_percent": "double?", "aggression": "double?"},
    "LocalityLbSetting": {
        "distribute": "[]Distribute", "failover": "[]Failover", "failover_priority": "[]string", "enabled": "bool?",
    },
    "ZoneAwareLbSetting": {
        "enabled": "bool?", "failover": "[]Failover", "failover_priority": "[]string", "min_cluster_size": "uint64?",
    },
    "Distribute": {"from": "string", "to": "{}uint32"},
    "Failover": {"from": "string", "to": "string"},
    "ConnectionPoolSettings": {"tcp": "TCPSettings", "http": "HTTPSettings"},
    "TCPSettings": {
        "max_connections": "int32", "connect_timeout": "duration", "tcp_keepalive": "TcpKeepalive",
        "max_connection_duration": "duration", "idle_timeout": "duration",
    },
    "TcpKeepalive": {"probes": "uint32", "time": "duration", "interval": "duration"},
    "HTTPSettings": {
        "http1_max_pending_requests": "int32", "http2_max_requests": "int32", "max_requests_per_connection": "int32",
        "max_retries": "int32", "idle_timeout": "duration", "h2_upgrade_policy": "H2UpgradePolicy",
        "use_client_protocol": "bool", "max_concurrent_streams": "int32", "http2_keep_alive": "Http2KeepAlive",
    },
    "Http2KeepAlive": {"interval": "duration", "timeout": "duration"},
    "OutlierDetection": {
        "consecutive_errors": "int32", "split_external_local_origin_errors": "bool",
        "consecutive_local_origin_failures": "uint32?", "consecutive_gateway_errors": "uint32?",
        "consecutive_5xx_errors": "uint32?", "interval": "duration", "base_ejection_time": "duration",
        "max_ejection_percent": "int32", "min_health_percent": "int32", "outlier_detection_http_error_codes": "[]uint32",
    },
    "ClientTLSSettings": {
        "mode": "ClientTLSMode", "client_certificate": "string", "private_key": "string", "ca_certificates": "string",
        "credential_name": "string", "subject_alt_names": "[]string", "sni": "string", "insecure_skip_verify": "bool?",
        "ca_crl": "string",
    },
}  # fmt: skip

_EDGES = {
    "Gateway": {"servers": "[]Server", "selector": "{}string"},
    "Server": {
        "port": "Port", "bind": "string", "hosts": "[]string", "tls": "ServerTLSSettings", "default_endpoint": "string",
        "name": "string",
    },
    "Port": {"number": "uint32", "protocol": "string", "name": "string", "target_port": "uint32"},
    "ServerTLSSettings": {
        "https_redirect": "bool", "mode": "ServerTLSMode", "server_certificate": "string", "private_key": "string",
        "ca_certificates": "string", "ca_crl": "string", "credential_name": "string", "credential_names": "[]string",
        "ca_cert_credential_name": "string", "tls_certificates": "[]TLSCertificate", "subject_alt_names": "[]string",
        "verify_certificate_spki": "[]string", "verify_certificate_hash": "[]string", "min_protocol_version": "TLSProtocol",
        "max_protocol_version": "TLSProtocol", "cipher_suites": "[]string", "insecure_skip_verify": "bool?",
    },
    "TLSCertificate": {"server_certificate": "string", "private_key": "string", "ca_certificates": "string"},
    "Sidecar": {
        "workload_selector": "WorkloadSelector", "ingress": "[]IstioIngressListener", "egress": "[]IstioEgressListener",
        "inbound_connection_pool": "ConnectionPoolSettings", "outbound_traffic_policy": "OutboundTrafficPolicy",
    },
    "IstioIngressListener": {
        "port": "Port", "bind": "string", "capture_mode": "CaptureMode", "default_endpoint": "string",
        "tls": "ServerTLSSettings", "connection_pool": "ConnectionPoolSettings",
    },
    "IstioEgressListener": {"port": "Port", "bind": "string", "capture_mode": "CaptureMode", "hosts": "[]string"},
    "OutboundTrafficPolicy": {"mode": "OutboundMode", "egress_proxy": "Destination"},
    "ServiceEntry": {
        "hosts": "[]string", "addresses": "[]string", "ports": "[]Port", "location": "Location", "resolution": "Resolution",
        "endpoints": "[]WorkloadEntry", "workload_selector": "WorkloadSelector", "export_to": "[]string",
        "subject_alt_names": "[]string",
    },
    "WorkloadEntry": {
        "address": "string", "ports": "{}uint32", "labels": "{}string", "network": "string", "locality": "string",
        "weight": "uint32", "service_account": "string",
    },
    "WorkloadGroup": {"metadata": "GroupMetadata", "template": "WorkloadEntry", "probe": "ReadinessProbe"},
    "GroupMetadata": {"labels": "{}string", "annotations": "{}string"},
    "ReadinessProbe": {
        "initial_delay_seconds": "int32", "timeout_seconds": "int32", "period_seconds": "int32",
        "success_threshold": "int32", "failure_threshold": "int32", "http_get": "HTTPHealthCheck",
        "tcp_socket": "TCPHealthCheck", "exec": "ExecHealthCheck", "grpc": "GrpcHealthCheck",
    },
    "HTTPHealthCheck": {
        "path": "string", "port": "uint32", "host": "string", "scheme": "string", "http_headers": "[]CookieAttribute",
    },
    "TCPHealthCheck": {"host": "string", "port": "uint32"},
    "ExecHealthCheck": {"command": "[]string"},
    "GrpcHealthCheck": {"port": "uint32", "service": "string"},
    "ProxyConfig": {
        "selector": "TypeWorkloadSelector", "concurrency": "int32?", "environment_variables": "{}string",
        "image": "ProxyImage",
    },
    "ProxyImage": {"image_type": "string"},
}  # fmt: skip

_ENVOY_FILTER = {
    "EnvoyFilter": {
        "workload_selector": "WorkloadSelector", "target_refs": "[]PolicyTargetReference",
        "config_patches": "[]EnvoyConfigObjectPatch", "priority": "int32",
    },
    "EnvoyConfigObjectPatch": {"apply_to": "ApplyTo", "match": "EnvoyConfigObjectMatch", "patch": "Patch"},
    "EnvoyConfigObjectMatch": {
        "context": "PatchContext", "proxy": "ProxyMatch", "listener": "ListenerMatch",
        "route_configuration": "RouteConfigurationMatch", "cluster": "ClusterMatch", "waypoint": "WaypointMatch",
    },
    "ProxyMatch": {"proxy_version": "string", "metadata": "{}string"},
    "ListenerMatch": {
        "port_number": "uint32", "port_name": "string", "filter_chain": "FilterChainMatch", "listener_filter": "string",
        "name": "string",
    },
    "FilterChainMatch": {
        "name": "string", "sni": "string", "transport_protocol": "string", "application_protocols": "string",
        "filter": "FilterMatch", "destination_port": "uint32",
    },
    "FilterMatch": {"name": "string", "sub_filter": "SubFilterMatch"},
    "SubFilterMatch": {"name": "string"},
    "RouteConfigurationMatch": {
        "port_number": "uint32", "port_name": "string", "gateway": "string", "vhost": "VirtualHostMatch", "name": "string",
    },
    "VirtualHostMatch": {"name": "string", "route": "RouteMatch", "domain_name": "string"},
    "RouteMatch": {"name": "string", "action": "RouteAction"},
    "ClusterMatch": {"port_number": "uint32", "service": "string", "subset": "string", "name": "string"},
    "WaypointMatch": {"port_number": "uint32", "filter": "FilterMatch", "route": "SubFilterMatch"},
    "Patch": {"operation": "PatchOperation", "value": "struct", "filter_class": "FilterClass"},
}  # fmt: skip

_POLICY_TARGETS = {
    "selector": "TypeWorkloadSelector", "target_ref": "PolicyTargetReference", "target_refs": "[]PolicyTargetReference",
}  # fmt: skip
_SOURCES = ("principals", "request_principals", "namespaces", "service_accounts", "trust_domains", "ip_blocks", "remote_ip_blocks")
_OPERATIONS = ("hosts", "ports", "methods", "paths")
_SECURITY = {
    "PeerAuthentication": {
        "selector": "TypeWorkloadSelector", "mtls": "MutualTLS", "port_level_mtls": "{uint32}MutualTLS",
    },
    "MutualTLS": {"mode": "MutualTLSMode"},
    "RequestAuthentication": _POLICY_TARGETS | {"jwt_rules": "[]JWTRule"},
    "JWTRule": {
        "issuer": "string", "audiences": "[]string", "jwks_uri": "string", "jwks": "string", "from_headers": "[]JWTHeader",
        "from_params": "[]string", "from_cookies": "[]string", "output_payload_to_header": "string",
        "forward_original_token": "bool", "output_claim_to_headers": "[]ClaimToHeader", "timeout": "duration",
        "space_delimited_claims": "[]string",
    },
    "JWTHeader": {"name": "string", "prefix": "string"},
    "ClaimToHeader": {"header": "string", "claim": "string"},
    "AuthorizationPolicy": _POLICY_TARGETS | {
        "rules": "[]AuthorizationRule", "action": "AuthorizationAction", "provider": "ProviderRef",
    },
    "AuthorizationRule": {"from": "[]From", "to": "[]To", "when": "[]Condition"},
    "From": {"source": "Source"},
    "Source": {field: "[]string" for name in _SOURCES for field in (name, f"not_{name}")},
    "To": {"operation": "Operation"},
    "Operation": {field: "[]string" for name in _OPERATIONS for field in (name, f"not_{name}")},
    "Condition": {"key": "string", "values": "[]string", "not_values": "[]string"},
}  # fmt: skip

_TELEMETRY = {
    "Telemetry": _POLICY_TARGETS | {
        "tracing": "[]Tracing", "metrics": "[]Metrics", "access_logging": "[]AccessLogging",
    },
    "ProviderRef": {"name": "string"},
    "Tracing": {
        "match": "ModeSelector", "providers": "[]ProviderRef", "random_sampling_percentage": "double?",
        "disable_span_reporting": "bool?", "custom_tags": "{}CustomTag", "use_request_id_for_trace_sampling": "bool?",
        "enable_istio_tags": "bool?", "disable_context_propagation": "bool?",
    },
    "ModeSelector": {"mode": "WorkloadMode"},
    "CustomTag": {
        "literal": "TagLiteral", "environment": "TagSource", "header": "TagSource", "formatter": "TagLiteral",
    },
    "TagLiteral": {"value": "string"},
    "TagSource": {"name": "string", "default_value": "string"},
    "Metrics": {"providers": "[]ProviderRef", "overrides": "[]MetricsOverrides", "reporting_interval": "duration"},
    "MetricsOverrides": {"match": "MetricSelector", "disabled": "bool?", "tag_overrides": "{}TagOverride"},
    "MetricSelector": {"metric": "Metric", "custom_metric": "string", "mode": "WorkloadMode"},
    "TagOverride": {"operation": "TagOperation", "value": "string"},
    "AccessLogging": {
        "match": "ModeSelector", "providers": "[]ProviderRef", "disabled": "bool?", "filter": "LogFilter",
    },
    "LogFilter": {"expression": "string"},
}  # fmt: skip

_SHARED = {
    "WorkloadSelector": {"labels": "{}string"},
    "TypeWorkloadSelector": {"match_labels": "{}string"},
    "PolicyTargetReference": {"group": "string", "kind": "string", "name": "string", "namespace": "string"},
    "ObjectMeta": {"name": "string", "namespace": "string", "labels": "{}string", "annotations": "{}string"},
}

_ONEOFS = {
    "StringMatch": (("exact", "prefix", "regex"),),
    "HTTPBody": (("string", "bytes"),),
    "HTTPRedirect": (("port", "derive_port"),),
    "Delay": (("fixed_delay", "exponential_delay"),),
    "Abort": (("http_status", "grpc_status", "http2_error"),),
    "LoadBalancerSettings": (("simple", "consistent_hash"),),
    "ConsistentHashLB": (
        ("http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name"),
        ("ring_hash", "maglev"),
    ),
    "EnvoyConfigObjectMatch": (("listener", "route_configuration", "cluster", "waypoint"),),
    "ReadinessProbe": (("http_get", "tcp_socket", "exec", "grpc"),),
    "CustomTag": (("literal", "environment", "header", "formatter"),),
    "MetricSelector": (("metric", "custom_metric"),),
}

_MESSAGES: Mapping[str, Mapping[str, str]] = (
    _VIRTUAL_SERVICE | _DESTINATION_RULE | _EDGES | _ENVOY_FILTER | _SECURITY | _TELEMETRY | _SHARED
)
ISTIO = Types(_MESSAGES, _ENUMS, _ONEOFS)
# Value of an enum -> the first minor release that reads it. A field that a release does not have yet is no matter: it is dropped.
_SINCE = {("PatchOperation", "MERGE_AND_REPLACE_LIST"): 31}


@cache
def istio(minor: int) -> Types:
    """The messages as release 1.`minor` reads them."""
    later = {pair for pair, first in _SINCE.items() if minor < first}
    enums = {name: tuple(value for value in values if (name, value) not in later) for name, values in _ENUMS.items()}
    return Types(_MESSAGES, enums, _ONEOFS)


# Kind -> API group of what istiod validates.
KINDS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "DestinationRule", "EnvoyFilter", "Gateway", "ProxyConfig", "ServiceEntry", "Sidecar", "VirtualService",
            "WorkloadEntry", "WorkloadGroup",
        ),
        "networking.istio.io",
    ),
    **dict.fromkeys(("AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"), "security.istio.io"),
    "Telemetry": "telemetry.istio.io",
}  # fmt: skip
