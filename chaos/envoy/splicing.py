"""Where in a list does an added item land? The insert operations that filters, listener filters and routes share.

Facts: istio pilot/pkg/networking/core/envoyfilter/util.go and its callers. An insert beside nothing in particular goes to the
end (INSERT_AFTER) or the beginning (INSERT_BEFORE); beside something that is not there it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from chaos.envoy.configuration import Resource
from chaos.envoy.patchmatch import Patch


def inserted(items: list[Resource], patch: Patch, beside: Callable[[Resource], bool] | None) -> list[Resource]:
    """A new list with the patch's value, or the same one if the operation is no insert. `beside` None: nothing is named."""
    value, operation = patch.value, patch.operation
    if operation == "INSERT_FIRST":
        return [value, *items]
    if operation == "ADD" or (operation == "INSERT_AFTER" and beside is None):
        return [*items, value]
    if operation == "INSERT_BEFORE" and beside is None:
        return [value, *items]
    if operation not in ("INSERT_BEFORE", "INSERT_AFTER") or beside is None:
        return items
    at = next((index for index, item in enumerate(items) if beside(item)), None)
    if at is None:
        return items
    at += operation == "INSERT_AFTER"
    return [*items[:at], value, *items[at:]]


def replaced(items: list[Resource], patch: Patch, beside: Callable[[Resource], bool] | None) -> list[Resource]:
    """REPLACE takes the first named item's place, REMOVE takes every named one out; neither acts without a name."""
    if beside is None:
        return items
    if patch.operation == "REMOVE":
        return [item for item in items if not beside(item)]
    at = next((index for index, item in enumerate(items) if beside(item)), None)
    if patch.operation != "REPLACE" or at is None:
        return items
    return [*items[:at], patch.value, *items[at + 1 :]]
