"""Priorities and weights by place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.envoy.locality import Group, LocalitySetting, apply, matches
from chaos.istio.instances import Instance
from chaos.istio.workloads import Locality

HERE = Locality("east", "east-1", "rack-a")
PLACES = ("east/east-1/rack-a", "east/east-1/rack-b", "east/east-2", "west/west-1", "north/north-1")
REGION = "topology.kubernetes.io/region"


def group(place, weight=1, labels=None):
    """One place with one endpoint per set of labels."""
    sets = labels or [{}]
    instances = [Instance(address="192.0.2.1", port=80, labels=each, locality=place) for each in sets]
    endpoints = [{"load_balancing_weight": weight} for _ in sets]
    return Group(locality=Locality.parse(place), weight=weight * len(sets), lb_endpoints=endpoints, instances=instances)


def priorities(written, failover=True, here=HERE, labels=None, places=PLACES):
    setting = LocalitySetting(written=written, failover=failover)
    return [g.priority for g in apply([group(place) for place in places], setting, here, labels or {})]


@pytest.mark.parametrize(
    ("pattern", "places"),
    [
        ("*", PLACES),
        ("*/*/*", PLACES),
        ("east", PLACES[:3]),
        ("east/*", PLACES[:3]),
        ("east/east-1", PLACES[:2]),
        ("east/east-1/*", PLACES[:2]),
        ("east/east-1/rack-a", PLACES[:1]),
        ("south", ()),
    ],
)
def test_patterns(pattern, places):
    assert tuple(place for place in PLACES if matches(Locality.parse(place), pattern)) == tuple(places)


class TestFailover:
    def test_by_distance(self):
        assert priorities({}) == [0, 1, 2, 3, 3]

    def test_without_gaps(self):
        assert priorities({}, places=("east/east-2", "west/west-1")) == [0, 1]

    def test_not_without_something_that_finds_hosts_unhealthy(self):
        assert priorities({}, failover=False) == [0, 0, 0, 0, 0]

    def test_not_where_locality_is_off(self):
        assert priorities(None) == [0, 0, 0, 0, 0]

    def test_to_a_region(self):
        assert priorities({"failover": [{"from": "east", "to": "north"}]}) == [0, 1, 2, 4, 3]

    def test_of_another_region_says_nothing(self):
        assert priorities({"failover": [{"from": "west", "to": "north"}]}) == [0, 1, 2, 3, 3]


class TestFailoverPriority:
    LABELS = {"app": "web", REGION: "east"}  # noqa: RUF012
    SETTING = LocalitySetting(written={"failoverPriority": ["version=v2", REGION]}, failover=True)

    def groups(self):
        return [
            group("east/east-2", labels=[{"version": "v1", REGION: "east"}, {"version": "v2", REGION: "east"}]),
            group("west/west-1", labels=[{"version": "v2", REGION: "west"}]),
        ]

    def test_labels_agree_in_a_row_and_a_place_is_split(self):
        made = apply(self.groups(), self.SETTING, HERE, self.LABELS)

        assert [(str(g.locality), g.priority, g.weight, len(g.lb_endpoints)) for g in made] == [
            ("east/east-2", 0, 1, 1),
            ("east/east-2", 2, 1, 1),
            ("west/west-1", 1, 1, 1),
        ]

    def test_a_label_that_neither_has_agrees(self):
        setting = LocalitySetting(written={"failoverPriority": ["nobody"]}, failover=True)

        assert [g.priority for g in apply(self.groups(), setting, HERE, self.LABELS)] == [0, 0]

    def test_not_for_endpoints_that_a_cluster_carries(self):
        made = apply(self.groups(), self.SETTING, HERE, self.LABELS, split=False)

        assert [g.priority for g in made] == [0, 0]

    def test_distance_counts_within_when_failover_is_there_too(self):
        written = {"failoverPriority": ["version=v2"], "failover": [{"from": "east", "to": "west"}]}
        made = apply(self.groups(), LocalitySetting(written=written, failover=True), HERE, self.LABELS)

        assert [(str(g.locality), g.priority) for g in made] == [("east/east-2", 0), ("east/east-2", 2), ("west/west-1", 1)]


class TestDistribute:
    def shares(self, to, origin="east/*", weights=(2, 1, 1, 1, 1)):
        groups = [group(place, weight) for place, weight in zip(PLACES, weights, strict=True)]
        setting = LocalitySetting(written={"distribute": [{"from": origin, "to": to}]}, failover=True)
        return [(g.weight, bool(g.lb_endpoints), g.priority) for g in apply(groups, setting, HERE, {})]

    def test_shares_within_a_pattern_go_by_weight_and_are_rounded_up(self):
        assert self.shares({"east/east-1/*": 80, "west/*": 20}) == [
            (54, True, 0),
            (27, True, 0),
            (1, False, 0),
            (20, True, 0),
            (1, False, 0),
        ]

    def test_from_elsewhere_changes_nothing(self):
        assert self.shares({"west/*": 100}, origin="west/*") == [(2, True, 0), *[(1, True, 0)] * 4]

    def test_a_place_belongs_to_the_first_pattern_that_names_it(self):
        assert [weight for weight, _, _ in self.shares({"east/east-2/*": 10, "*": 90})] == [36, 18, 10, 18, 18]


@pytest.mark.parametrize(
    ("written", "failover", "weighted"),
    [
        (None, True, False),
        ({}, True, False),
        ({"failover": [{"from": "a", "to": "b"}]}, True, True),
        ({"failover": [{"from": "a", "to": "b"}]}, False, False),
        ({"failoverPriority": ["a"]}, True, True),
        ({"distribute": [{"from": "a", "to": {"b": 100}}]}, False, True),
    ],
)
def test_when_the_cluster_is_locality_weighted(written, failover, weighted):
    assert LocalitySetting(written=written, failover=failover).weighted is weighted


@given(
    places=st.lists(st.sampled_from(PLACES), min_size=1, unique=True),
    here=st.sampled_from(PLACES),
    to=st.none() | st.sampled_from(["east", "west", "north"]),
)
def test_priorities_have_no_gaps_and_the_own_place_comes_first(places, here, to):
    written = {} if to is None else {"failover": [{"from": here.split("/")[0], "to": to}]}
    made = priorities(written, here=Locality.parse(here), places=places)

    assert set(made) == set(range(max(made) + 1))
    assert here not in places or made[places.index(here)] == 0
