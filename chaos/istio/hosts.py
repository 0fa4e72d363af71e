"""Which host does a name mean, and which name is more specific? Istio's rules for hosts and their visibility.

Everything that compares hosts (VirtualServices with services, DestinationRules with services, Gateways with
VirtualServices, exportTo with namespaces) asks here, so that one rule serves all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

DOMAIN = "cluster.local"
EVERYONE = "*"
OWN_NAMESPACE = "."
NOBODY = "~"


def fully_qualified(host: str, namespace: str, domain: str = DOMAIN) -> str:
    """`reviews` -> `reviews.<namespace>.svc.<domain>`; a name with any dot, an address and `*` are taken as they are.

    istio pilot/pkg/model/config.go `ResolveShortnameToFQDN`; the case of letters stays too.
    """
    if not host or "." in host or ":" in host or host == EVERYONE:
        return host
    return f"{host}.{namespace}.svc.{domain}"


def is_wildcard(host: str) -> bool:
    return host.startswith("*")


def matches(one: str, other: str) -> bool:
    """Do the two names have a host in common? Either may be a wildcard (istio pkg/config/host `Name.Matches`)."""
    if is_wildcard(one) and is_wildcard(other):
        short, long = sorted((one[1:], other[1:]), key=len)
        return long.endswith(short)
    if is_wildcard(one):
        return other.endswith(one[1:])
    if is_wildcard(other):
        return one.endswith(other[1:])
    return one == other


def covers(pattern: str, host: str) -> bool:
    """Is every host meant by `host` also meant by `pattern`? (istio pkg/config/host `Name.SubsetOf`, seen from the other side)."""
    if not is_wildcard(pattern):
        return pattern == host
    return (len(host) >= len(pattern) if is_wildcard(host) else True) and host.lstrip("*").endswith(pattern[1:])


def specificity(host: str) -> tuple[bool, int, str]:
    """Sort key: exact names before wildcards, longer before shorter, then by name (istio pkg/config/host `MoreSpecific`)."""
    return (is_wildcard(host), -len(host), host)


def most_specific(host: str, patterns: Iterable[str]) -> str | None:
    """The most specific of `patterns` that covers `host`, or None."""
    return min((p for p in patterns if covers(p, host)), key=specificity, default=None)


def wildcards_over(host: str) -> Iterable[str]:
    """Every wildcard that covers `host`, most specific first: `a.b` -> `*.b`, `*b`... as suffixes after each dot, then `*`.

    Only wildcards at a dot exist (`*.b`, `*`), since validation refuses `*b`.
    """
    rest = host[1:] if is_wildcard(host) else host
    at = rest.find(".", 0)
    while at != -1:
        pattern = "*" + rest[at:]
        if pattern != host:
            yield pattern
        at = rest.find(".", at + 1)
    if host != "*":
        yield "*"


def exported(export_to: Collection[str], own: str, namespace: str) -> bool:
    """Does an object of namespace `own` with these exportTo values reach `namespace`? `*` anywhere wins; `~` reaches nobody."""
    if EVERYONE in export_to:
        return True
    if NOBODY in export_to:
        return False
    return namespace in export_to or (own == namespace and OWN_NAMESPACE in export_to)
