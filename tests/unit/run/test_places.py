from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.errors import ConfigurationError, NotAllowed, TopologyError
from chaos.model.topology import Allow, Choice, Entry, Target, Topology
from chaos.run.places import is_production, place

STAGING = Target(context="staging-eu", namespace="shop-eu", entry="https://shop.staging.example")
TOPOLOGY = Topology(
    file=Path("chaos.yaml"),
    entry=Entry(service="front", namespace="shop", port=8080),
    targets={"staging": STAGING, "kind": Target(context="kind-a")},
    allow=Allow(contexts=("kind-*", "staging-eu", "eu-prod-1"), namespaces=("shop", "shop-eu")),
)


def test_a_target_brings_its_context_namespace_and_way_in() -> None:
    found = place(TOPOLOGY, Choice(target="staging"))

    assert (found.context, found.namespace, found.url) == ("staging-eu", "shop-eu", "https://shop.staging.example")
    assert found.entry == Entry(service="front", namespace="shop-eu", port=8080)


def test_a_context_finds_its_target_and_the_command_line_its_namespace() -> None:
    found = place(TOPOLOGY, Choice(context="staging-eu", namespace="shop"))

    assert (found.url, found.namespace, found.entry.namespace) == ("https://shop.staging.example", "shop", "shop")


def test_a_context_without_a_target_enters_by_port_forward() -> None:
    found = place(TOPOLOGY, Choice(context="kind-b"))

    assert (found.context, found.namespace, found.url) == ("kind-b", "shop", None)


def test_the_only_target_needs_no_name() -> None:
    assert place(replace(TOPOLOGY, targets={"staging": STAGING}), Choice()).context == "staging-eu"


@pytest.mark.parametrize(
    ("choice", "error", "said"),
    [
        (Choice(), ConfigurationError, r"which cluster\? Name one with --chaos-target=NAME \(there are: kind, staging\)"),
        (Choice(target="stagin"), TopologyError, r'chaos\.yaml: targets: no "stagin"; did you mean "staging"'),
        (Choice(target="staging", context="kind-a"), ConfigurationError, "is in context staging-eu, and kind-a was asked for"),
        (Choice(context="other"), NotAllowed, r"context other is not allowed; add it in chaos\.yaml: .*eu-prod-1, other\]"),
        (Choice(context="kind-a", namespace="x"), NotAllowed, r"namespace x is not allowed; add it in .*\[shop, shop-eu, x\]"),
        (Choice(context="eu-prod-1"), NotAllowed, "eu-prod-1 looks like production.*--chaos-production"),
    ],
)
def test_what_is_not_decided_or_not_allowed_is_refused(choice: Choice, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        place(TOPOLOGY, choice)


def test_production_takes_a_word_on_the_command_line() -> None:
    assert place(TOPOLOGY, Choice(context="eu-prod-1", production=True)).context == "eu-prod-1"


@pytest.mark.parametrize(
    "name", ["prod", "eu-prod-1", "gke_shop_europe_production", "live", "LIVE-2", "shopprod", "arn:aws:eks:prod2"]
)
def test_names_of_production(name: str) -> None:
    assert is_production(name)


@pytest.mark.parametrize("name", ["staging", "kind-shop", "preprod", "nonprod-eu", "delivery", "product-staging", "dev"])
def test_other_names(name: str) -> None:
    assert not is_production(name)
