"""Is one value acceptable? Istio's rules for ports, hosts, labels, durations, percentages, headers and expressions.

Every function gives the reason why a value is refused, in Istio's own words where they are known, or None. They know
nothing of objects; the modules named after kinds (`virtualservices`...) say which value has to keep which rule.
Sources: istio pkg/config/validation (validation.go, virtualservice.go, header_value_validator.go), pkg/config/validation/agent,
pkg/config/labels, pkg/config/visibility, pkg/config/security.
"""

from __future__ import annotations

import http
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta

from chaos.istio.durations import MILLISECOND
from chaos.istio.services import Protocol, parse_protocol
from chaos.istio.validate import re2

UNIX = "unix://"
_LABEL = r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?"
_QUALIFIED = r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_DNS_LABEL = re.compile(_LABEL)
_WILDCARD_LABEL = re.compile(rf"\*|(?:\*|\*-)?{_LABEL}")
_LABEL_KEY = re.compile(rf"({_LABEL}(?:\.{_LABEL})*/)?({_QUALIFIED})")
_LABEL_VALUE = re.compile(rf"(?:{_QUALIFIED})?")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_HEADER_NAME = re.compile(r"[!#$%&'*+,\-.^_`|~A-Za-z0-9]+")  # with the comma, by an accident of Istio's own expression
_PLAIN_HEADER_NAME = re.compile(r"[-A-Za-z0-9]+")
_PSEUDO_HEADERS = frozenset({":method", ":scheme", ":authority", ":path", ":status"})
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_JWT_CLAIM = re.compile(r"@request\.auth\.claims(?:\..+|\[.+\])", re.DOTALL)
_LONGEST_LABEL = 63
_LONGEST_REGEX = 1024

GRPC_STATUSES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL",
    "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
RETRY_CONDITIONS = frozenset(
    {
        "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "retriable-4xx", "refused-stream",
        "retriable-status-codes", "retriable-headers", "envoy-ratelimited", "http3-post-connect-failure",
        "cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable",
    }
)  # fmt: skip
CORS_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"})
CIPHER_SUITES = frozenset(
    {
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA",
        "AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA", "DES-CBC3-SHA",
    }
)  # fmt: skip
TRUTH = frozenset({"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"})  # Go's ParseBool
# Go's http.StatusText names the same codes.
STATUS_CODES = frozenset(int(code) for code in http.HTTPStatus)


def quoted(text: str) -> str:
    """As Go's %q."""
    return json.dumps(text, ensure_ascii=False)


# ------------------------------------------------------------------------------------------------------ numbers, time
def port(number: int) -> str | None:
    return None if 1 <= number <= 65535 else f"port number {number} must be in the range 1..65535"


def duration(value: timedelta) -> str | None:
    if value < MILLISECOND:
        return "duration must be greater than 1ms"
    if value % MILLISECOND:
        return "only durations to ms precision are supported"
    return None


def percent(value: int) -> str | None:
    """Whole percents, as outlier detection has them."""
    return None if 0 <= value <= 100 else f"percentage {value} is not in range 0..100"


def percentage(value: float) -> str | None:
    """Fault percentages: 0, or what Envoy's millionths can express."""
    if value == 0 or 0.0001 <= value <= 100:
        return None
    return f"percentage {value:g} is neither 0.0, nor in range [0.0001, 100.0]"


def mirror_percentage(value: float, name: str) -> str | None:
    if value > 100:
        return f"{name} must have a max value of 100 (it has {value:f})"
    return f"{name} must have a min value of 0 (it has {value:f})" if value < 0 else None


def http_status(status: int) -> str | None:
    """200 to 600: Istio's check goes one further than its text, and than Envoy."""
    return None if 200 <= status <= 600 else f"HTTP status {status} is not in range 200-599"


def grpc_status(status: str) -> str | None:
    if status in GRPC_STATUSES:
        return None
    return (
        f"gRPC status {quoted(status)} is not supported. See https://github.com/grpc/grpc/blob/master/doc/statuscodes.md "
        "for a list of supported codes, for example 'NOT_FOUND'"
    )


def retry_condition(token: str) -> str | None:
    """One entry of retryOn; spaces count, and codes are those that Go has a name for."""
    code = int(token) if _WHOLE_NUMBER.fullmatch(token) else 0
    return None if token in RETRY_CONDITIONS or code in STATUS_CODES else f"{quoted(token)} is not a valid retryOn policy"


def weight(value: int) -> str | None:
    return None if value >= 0 else f"weight {value} < 0"


def is_prime(number: int) -> bool:
    """Envoy's own test, which counts 1 as prime."""
    if 0 < number < 4:
        return True
    return number % 2 == 1 and all(number % factor for factor in range(3, int(number**0.5) + 1, 2))


# ------------------------------------------------------------------------------------------------------ names, labels
def is_dns_label(text: str) -> bool:
    return len(text) <= _LONGEST_LABEL and bool(_DNS_LABEL.fullmatch(text))


def subset_name(name: str) -> str | None:
    if not name:
        return "subset name cannot be empty"
    return None if is_dns_label(name) else f"subset name is invalid: {name}"


def port_name(name: str) -> str | None:
    return None if is_dns_label(name) else f"invalid port name: {name}"


def protocol(name: str) -> str | None:
    """Empty means sniffed."""
    return f"unsupported protocol: {name}" if name and not is_protocol(name) else None


def is_protocol(name: str) -> bool:
    return parse_protocol(name) is not Protocol.AUTO


def labels(given: Mapping[str, str]) -> Iterator[str]:
    """Every label that Kubernetes would not take."""
    for key, value in given.items():
        match = _LABEL_KEY.fullmatch(key)
        if match is None:
            yield f"invalid tag key: {quoted(key)}"
        elif len(match.group(1) or "") > 254:
            yield f"invalid tag key: {quoted(key)} (DNS prefix is too long)"
        elif len(match.group(2)) > _LONGEST_LABEL:
            yield f"invalid tag key: {quoted(key)} (name is too long)"
        if not _LABEL_VALUE.fullmatch(value):
            yield f"invalid tag value: {quoted(value)}"


def selector(given: Mapping[str, str]) -> Iterator[str]:
    for key, value in given.items():
        pair = quoted(f"{key}={value}")
        if not key:
            yield f"empty key is not supported in selector: {pair}"
        if "*" in key or "*" in value:
            yield f"wildcard is not supported in selector: {pair}"


def visibility(entry: str) -> str | None:
    """One entry of exportTo."""
    if entry in (".", "*"):
        return None
    if entry == "~":
        return "exportTo ~ (none) is not allowed for Istio configuration objects"
    return None if is_dns_label(entry) else "only .,*, or a valid DNS 1123 label is allowed as exportTo entry"


# --------------------------------------------------------------------------------------------------- hosts, addresses
def fqdn(name: str) -> str | None:
    """A full name without a wildcard; a single label will do, a trailing dot is fine."""
    return _length(name) or _dns_labels(name)


def wildcard_domain(name: str) -> str | None:
    """A name whose first label may be `*`, or begin with it."""
    if wrong := _length(name):
        return wrong
    head, dot, rest = name.partition(".")
    if len(head) > _LONGEST_LABEL or not _WILDCARD_LABEL.fullmatch(head):
        return f"domain name {quoted(name)} invalid (label {quoted(head)} invalid)"
    return _dns_labels(rest) if dot else None


def sni_domain(name: str) -> str | None:
    """Bound to a gateway: also the names that AUTO_PASSTHROUGH makes up, `outbound_.80_._.reviews.default.svc.cluster.local`."""
    if not name.startswith("outbound_"):
        return wildcard_domain(name)
    parts = name.split("_")
    if len(parts) < 4 or not any(c.isdigit() for c in parts[1]) or not any(c.isalpha() for c in parts[3]):
        return f"domain name {quoted(name)} invalid. should follow outbound_.<PORT>_._.<HOSTNAME> format"
    return _length(name)


def partial_wildcard(name: str) -> str | None:
    if "*" in name and len(name) != 1 and not name.startswith("*."):
        return f"partial wildcard {quoted(name)} not allowed"
    return None


def namespaced_host(text: str, *, gateway: bool) -> Iterator[str]:
    """`namespace/host` of a Gateway's server (where the namespace may be missing) or of a Sidecar's egress listener."""
    namespace, slash, host = text.partition("/")
    if not slash:
        if gateway:
            yield from _host_part(text, gateway=True)
        else:
            yield "host must be of form namespace/dnsName"
        return
    if not namespace or not host:
        yield "config namespace and dnsName in host entry cannot be empty"
    if namespace not in (("*", ".") if gateway else ("*", ".", "~")) and not is_dns_label(namespace):
        yield f"invalid namespace value {quoted(namespace)} in {'gateway' if gateway else 'sidecar'}"
    yield from _host_part(host, gateway=gateway)


def _host_part(host: str, *, gateway: bool) -> Iterator[str]:
    if host != "*" and "." not in host:
        yield "short names (non FQDN) are not allowed"
    if (wrong := wildcard_domain(host)) and not (gateway and is_ip(host)):
        yield wrong
    if wrong := partial_wildcard(host):
        yield wrong


def _length(name: str) -> str | None:
    if len(name) > 255:
        return f"domain name {quoted(name)} too long (max 255)"
    return None if name else "empty domain name not allowed"


def _dns_labels(name: str) -> str | None:
    parts = name.split(".")
    if _WHOLE_NUMBER.fullmatch(parts[-1]):
        return f"domain name {quoted(name)} invalid (top level domain {quoted(parts[-1])} cannot be all-numeric)"
    if parts[-1] == "":
        parts.pop()
    bad = next((label for label in parts if not is_dns_label(label)), None)
    return None if bad is None else f"domain name {quoted(name)} invalid (label {quoted(bad)} invalid)"


def is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def ip_address(text: str) -> str | None:
    return None if is_ip(text) else f"{text} is not a valid IP"


def subnet(text: str) -> str | None:
    """An address, or a CIDR block; bits beyond the mask do not matter."""
    if text.count("/") != 1:
        return ip_address(text)
    return None if is_cidr(text) else f"{text} is not a valid CIDR block"


def is_cidr(text: str) -> bool:
    address, slash, bits = text.partition("/")
    if not slash or "%" in address or not is_ip(address) or not bits.isdecimal() or (len(bits) > 1 and bits[0] == "0"):
        return False
    return int(bits) <= ipaddress.ip_address(address).max_prefixlen


def unix_address(path: str) -> str | None:
    """Without the `unix://` in front."""
    if not path:
        return "unix address must not be empty"
    if path.startswith("@") or (path.startswith("/") and not path.endswith("/")):
        return None
    return f"{path} is not an absolute path to a file"


def gateway_name(name: str) -> tuple[list[str], list[str]]:
    """(reasons to refuse, reasons to warn) for one entry of `gateways` without or with a namespace."""
    namespace, slash, local = name.partition("/")
    if not slash:
        parts = name.split(".")
        legacy = f"{parts[1]}/{parts[0]}" if len(parts) > 1 else ""
        warning = f"using legacy gatewayName format {quoted(name)}; prefer the <namespace>/<name> format: {quoted(legacy)}"
        return [wrong for wrong in [fqdn(name)] if wrong], [warning] if legacy else []
    errors = []
    if not namespace or not local:
        errors.append("config namespace and gateway name cannot be empty")
    if not is_dns_label(namespace):
        errors.append(f"invalid value for namespace: {quoted(namespace)}")
    if not is_dns_label(local):
        errors.append(f"invalid value for gateway name: {quoted(local)}")
    return errors, []


# ------------------------------------------------------------------------------------------------------------ headers
def header_name(name: str) -> str | None:
    if not name:
        return "header name cannot be empty"
    return None if _HEADER_NAME.fullmatch(name) else f"header name {name} is not a valid header name"


def plain_header_name(name: str) -> str | None:
    """Letters, digits and dashes only, for headers that Istio makes itself."""
    if not name:
        return "header name cannot be empty"
    return None if _PLAIN_HEADER_NAME.fullmatch(name) else f"header name {name} is not a valid header name"


def is_jwt_claim(name: str) -> bool:
    """`@request.auth.claims.sub` or `@request.auth.claims[sub]`."""
    return bool(_JWT_CLAIM.fullmatch(name[:20].lower() + name[20:]))


def matched_header_name(name: str) -> str | None:
    return None if is_jwt_claim(name) or name in _PSEUDO_HEADERS else header_name(name)


def cors_header_name(name: str) -> str | None:
    return None if name == "*" else header_name(name)


def is_authority(name: str) -> bool:
    return name.lower() in (":authority", "host")


def written_header_name(name: str) -> str | None:
    """Added to or set on a request: of the pseudo headers only the authority."""
    if not name:
        return "header name cannot be empty"
    if name.startswith(":") and not is_authority(name):
        return f'invalid header {quoted(name)}: header cannot have ":" prefix'
    return None


def changed_header_name(name: str) -> str | None:
    """Removed from a request, or changed in a response."""
    if not name:
        return "header name cannot be empty"
    if name.lower() == "host":
        return f"invalid header {quoted(name)}: cannot set Host header"
    return f'invalid header {quoted(name)}: header cannot have ":" prefix' if name.startswith(":") else None


def header_value(value: str) -> str | None:
    """`%` begins one of Envoy's variables (`%REQ(:path)%`) and is doubled to stand for itself."""
    if not _HEADER_VALUE.fullmatch(value):
        return f"header value configuration {value} is invalid"
    wrong = _variables(value)
    return f"header value configuration: invalid header configuration. {wrong}" if wrong else None


def _variables(value: str) -> str | None:
    """Envoy's old header parser as a table of states: what may follow, and where it leads."""
    state, at = "literal", 0
    while at < len(value):
        char, last = value[at], at + 1 == len(value)
        if state == "literal" and char == "%":
            if last:
                return "Un-escaped %"
            if value[at + 1] == "%":
                at += 1
            else:
                state = "name"
        elif state == "string" and char == "\\":
            if last:
                return "Un-terminated backslash in JSON string"
            at += 1
        elif state in _STATES:
            follow, otherwise, complaint = _STATES[state]
            state = follow.get(char) or (state if char == " " and complaint else otherwise)
            if not state:
                return complaint
        at += 1
    return None if state == "literal" else f"Un-terminated variable expression '{value}'"


_STATES: Mapping[str, tuple[Mapping[str, str], str, str]] = {
    "name": ({"%": "literal", "(": "array"}, "name", ""),
    "array": ({"[": "quote", " ": "array"}, "string", ""),
    "quote": ({'"': "string"}, "", "Expecting '\"'"),
    "string": ({")": "end", '"': "delimiter"}, "string", ""),
    "delimiter": ({",": "quote", "]": "bracket"}, "", "Expecting ',', ']', or whitespace"),
    "bracket": ({")": "end"}, "", "Expecting ')' or whitespace after '{}', but found '{}'"),
    "end": ({"%": "literal"}, "", "Expecting '%' or whitespace after"),
}


# -------------------------------------------------------------------------------------------------------- expressions
def regex(pattern: str, where: str) -> str | None:
    """A regular expression that Envoy will compile; `where` names the field as Istio's message does."""
    if not pattern:
        return f"{quoted(where)}: regex string match should not be empty"
    if len(pattern.encode()) > _LONGEST_REGEX:
        return f"{quoted(where)}: regex is too large, max length allowed is 1024"
    if wrong := re2.problem(pattern):
        return f"{quoted(where)}: {wrong}; Istio uses RE2 style regex-based match (https://github.com/google/re2/wiki/Syntax)"
    return None
