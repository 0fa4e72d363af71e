"""Which API server, and who are we to it? Read from where kubectl reads it, and never guessed.

The file given, else the list in KUBECONFIG, else `~/.kube/config`; a context is always asked for by name. The service account of a
pod is used only where the context is called `in-cluster`, and never because no file was found.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chaos.errors import ConfigurationError, nearest

IN_CLUSTER: Final = "in-cluster"
"""The name that asks for the service account of the pod we run in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One API server and our credentials there."""

    context: str
    server: str
    configuration: Any
    """`kubernetes.client.Configuration`: carries TLS, proxy and the hook that renews a token."""
    namespace: str | None = None
    """The context's own namespace."""


def access(context: str, file: Path | None = None) -> Access:
    """Read what is needed to reach `context`. Nothing is sent. Raises ConfigurationError."""
    from kubernetes.client import Configuration

    # The library's default configuration belongs to whoever else uses the library in this process.
    configuration = Configuration()
    # Ours: urllib3 would wait out any Retry-After, however long.
    configuration.retries = False
    if context == IN_CLUSTER:
        return _in_cluster(configuration)
    return _by_file(configuration, context, file)


def listed(file: Path | None) -> str:
    """Where contexts are looked up, so that another process of this machine finds the same: a path, or a list of them."""
    given = str(file) if file else os.environ.get("KUBECONFIG") or "~/.kube/config"
    return os.pathsep.join(os.path.abspath(os.path.expanduser(part)) for part in given.split(os.pathsep) if part)


def contexts(file: Path | None = None) -> list[str]:
    """Names of all contexts. Raises ConfigurationError."""
    _, known, _ = _merged(file)
    return list(known)


def _in_cluster(configuration: Any) -> Access:
    from kubernetes.config import ConfigException, incluster_config

    try:
        incluster_config.load_incluster_config(client_configuration=configuration)
    except (ConfigException, OSError) as error:
        raise ConfigurationError(
            f"context {IN_CLUSTER}: this process does not run in a pod with a service account ({error}); "
            "outside a cluster name a context of your kubeconfig"
        ) from error
    own = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    namespace = own.read_text().strip() if own.is_file() else None
    return Access(context=IN_CLUSTER, server=configuration.host, configuration=configuration, namespace=namespace)


def _by_file(configuration: Any, context: str, file: Path | None) -> Access:
    from kubernetes.config import ConfigException, kube_config

    merged, known, where = _merged(file)
    if context not in known:
        raise ConfigurationError(f'no context "{context}" in {where}{nearest(context, known)}')
    try:
        # A base path of None: certificates are relative to the file that names them.
        loader = kube_config.KubeConfigLoader(config_dict=merged, active_context=context, config_base_path=None)
        loader.load_and_set(configuration)
    except (ConfigException, OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"context {context} in {where} cannot be used: {str(error)[:256]}") from error
    namespace = known[context].value.get("context", {}).get("namespace")
    return Access(context=context, server=configuration.host, configuration=configuration, namespace=namespace)


def _merged(file: Path | None) -> tuple[Any, dict[str, Any], str]:
    """(everything read, its contexts by name, where that was)"""
    import yaml
    from kubernetes.config import ConfigException, kube_config

    listed = str(file) if file else os.environ.get("KUBECONFIG") or "~/.kube/config"
    where = listed if file or not os.environ.get("KUBECONFIG") else f"KUBECONFIG={listed}"
    try:
        merged = kube_config.KubeConfigMerger(listed).config
        known = {str(entry["name"]): entry for entry in merged.value["contexts"]} if merged is not None else {}
    except (ConfigException, OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, TypeError, KeyError) as error:
        raise ConfigurationError(f"{where} cannot be read as a kubeconfig: {' '.join(str(error).split())[:256]}") from error
    if merged is None:
        raise ConfigurationError(
            f"there is no kubeconfig at {where}; name one with --chaos-kubeconfig or KUBECONFIG, "
            f"or ask for the service account of this pod with the context {IN_CLUSTER}"
        )
    return merged, known, where
