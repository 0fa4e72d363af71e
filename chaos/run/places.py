"""Where does a run on a cluster go? One context, one namespace and one way in, from the topology and what was chosen over it.

Nothing is asked of any server here: what the topology does not allow is refused before anybody is spoken to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from chaos.errors import ConfigurationError, NotAllowed, TopologyError, nearest
from chaos.model.topology import Choice, Entry, Target, Topology

PRODUCTION: Final = re.compile(r"(?!non|pre|not).*prod(uction)?\d*|prd\d*|live\d*")
"""A word of a context's name that means real users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to, all of it decided and allowed."""

    context: str
    namespace: str
    """Default for short names; the entry's as well."""
    entry: Entry
    url: str | None
    """Where requests enter; None: by a port-forward."""
    prometheus: str | None
    kubeconfig: Path | None
    allowed: tuple[str, ...]


def place(topology: Topology, choice: Choice) -> Place:
    """Raises TopologyError, ConfigurationError for what is not there or not decided, NotAllowed with the line to add."""
    target = _target(topology, choice)
    namespace = choice.namespace or target.namespace or topology.entry.namespace
    _check_allowed(topology, target.context, namespace)
    if is_production(target.context) and not choice.production:
        raise NotAllowed(
            f"the context {target.context} looks like production, which chaos.yaml alone does not open: "
            "say --chaos-production as well, on the command line, if real users may be met"
        )
    return Place(
        context=target.context,
        namespace=namespace,
        entry=replace(topology.entry, namespace=namespace),
        url=target.entry,
        prometheus=target.prometheus,
        kubeconfig=choice.kubeconfig,
        allowed=topology.allow.namespaces,
    )


def is_production(context: str) -> bool:
    """Does the name say that real users are there?"""
    return any(PRODUCTION.fullmatch(word) for word in re.split(r"[^a-z0-9]+", context.lower()))


def _target(topology: Topology, choice: Choice) -> Target:
    targets = topology.targets
    if choice.target:
        if choice.target not in targets:
            raise TopologyError(f'{topology.file}: targets: no "{choice.target}"{nearest(choice.target, targets)}')
        found = targets[choice.target]
        if choice.context and choice.context != found.context:
            raise ConfigurationError(
                f"the target {choice.target} is in context {found.context}, and {choice.context} was asked for: name one of the two"
            )
        return found
    if choice.context:
        known = [target for target in targets.values() if target.context == choice.context]
        return known[0] if len(known) == 1 else Target(context=choice.context)
    if len(targets) == 1:
        return next(iter(targets.values()))
    listed = f"there are: {', '.join(sorted(targets))}" if targets else f"{topology.file} has none under targets"
    raise ConfigurationError(f"which cluster? Name one with --chaos-target=NAME ({listed}) or --chaos-context=CONTEXT")


def _check_allowed(topology: Topology, context: str, namespace: str) -> None:
    allow, file = topology.allow, topology.file
    if not any(fnmatchcase(context, pattern) for pattern in allow.contexts):
        listed = ", ".join([*allow.contexts, context])
        raise NotAllowed(f"context {context} is not allowed; add it in {file}: allow: {{contexts: [{listed}]}}")
    if not allow.namespace(namespace):
        listed = ", ".join([*allow.namespaces, namespace])
        raise NotAllowed(f"namespace {namespace} is not allowed; add it in {file}: allow: {{namespaces: [{listed}]}}")
