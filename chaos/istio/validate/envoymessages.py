"""Which messages can an EnvoyFilter patch? Envoy's, in the notation of `types`, read when the first EnvoyFilter asks.

The table beside this file is made from the descriptors that an Envoy binary carries.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from chaos.istio.validate.types import Types

# What istiod's registry also holds: Envoy's contrib extensions and removed ones (istio pkg/config/xds/filter_types.gen.go),
# Istio's own filters, and the packages Envoy's messages borrow from.
_EXTENSIONS = (
    "compression.qatzip", "compression.qatzstd", "config.v3alpha", "filters.http.checksum", "filters.http.dynamo",
    "filters.http.golang", "filters.http.gzip", "filters.http.kill_request", "filters.http.language",
    "filters.http.squash", "filters.http.sxg", "filters.network.client_ssl_auth", "filters.network.generic_proxy.codecs",
    "filters.network.golang", "filters.network.kafka_broker", "filters.network.kafka_mesh", "filters.network.mysql_proxy",
    "filters.network.postgres_proxy", "filters.network.rocketmq_proxy", "filters.network.sip_proxy",
    "matching.input_matchers.hyperscan", "network.connection_balance.dlb", "private_key_providers.cryptomb",
    "private_key_providers.qat", "regex_engines.hyperscan", "router.cluster_specifier.golang", "tap_sinks.udp_sink",
    "transport_sockets.s2a", "upstreams.http.tcp.golang", "vcl",
)  # fmt: skip
_FOREIGN = (
    *(f"envoy.extensions.{name}." for name in _EXTENSIONS),
    "envoy.admin.v3.", "envoy.data.", "envoy.service.", "istio.", "io.istio.", "stats.", "google.", "cel.",
    "opentelemetry.", "xds.",
)  # fmt: skip


@cache
def envoy() -> Types:
    table = json.loads(files(__package__).joinpath("envoy-messages.json").read_text(encoding="utf-8"))
    return Types(table["messages"], table["enums"], table["oneofs"], foreign=_FOREIGN)
