import pytest

from chaos.injection.in_force import missing, same, switched
from chaos.injection.private_path import PrivatePath
from chaos.injection.switch import routes
from chaos.model.marks import Mark
from tests.unit.injection.conftest import VIRTUAL_HOST, route

MARK = Mark("0123456789ab", 1)


@pytest.mark.parametrize(
    ("sent", "held"),
    [
        ({"timeout": "0.4s"}, {"timeout": "0.400s"}),
        ({"type": "STATIC", "name": "a"}, {"name": "a"}),
        ({"percentage": {"numerator": 0, "denominator": "MILLION"}}, {"percentage": {"denominator": "MILLION"}}),
        ({"flag": False, "list": [], "text": ""}, {}),
        ({"a": [{"b": 1.0}]}, {"a": [{"b": 1}]}),
    ],
)
def test_spellings_of_one_message(sent: object, held: object) -> None:
    assert same(sent, held)


@pytest.mark.parametrize(
    ("sent", "held"),
    [({"timeout": "0.4s"}, {"timeout": "0.5s"}), ({"a": 1}, {}), ({}, {"a": 1}), ({"a": {}}, {}), ({"a": [1, 2]}, {"a": [2, 1]})],
)
def test_messages_that_differ(sent: object, held: object) -> None:
    assert not same(sent, held)


def test_resources_are_compared_by_name_and_content(path: PrivatePath) -> None:
    held = [{"@type": "x", **cluster} for cluster in path.clusters]

    assert missing(path.clusters, held) == []
    assert missing(path.clusters, held[1:]) == [path.clusters[0]["name"]]
    assert missing(path.clusters, [{**held[0], "connect_timeout": "1s"}, *held[1:]]) == [path.clusters[0]["name"]]


def table(*of_vhost: dict) -> list[dict]:
    return [{"name": "9080", "virtual_hosts": [{"name": "other"}, {"name": VIRTUAL_HOST, "routes": list(of_vhost)}]}]


def test_switched_means_exactly_these_routes_of_this_path(path: PrivatePath) -> None:
    wanted = routes(path.name, MARK, [])
    another = {**wanted[0], "name": "istio-chaos.0123456789ab.2"}

    assert switched(path, wanted, table(*wanted, route()))
    assert switched(path, wanted, table(another, *wanted, route()))  # of another experiment
    assert not switched(path, wanted, table(*wanted[:-1], route()))
    assert not switched(path, wanted, table(*reversed(wanted), route()))
    assert not switched(path, [], table(*wanted, route()))
    assert switched(path, [], table(route()))
    assert not switched(path, [], [])  # a proxy that lost the virtual host has not shown anything


def test_every_route_configuration_with_the_virtual_host_counts(path: PrivatePath) -> None:
    wanted = routes(path.name, MARK, [])

    assert not switched(path, wanted, [*table(*wanted, route()), *table(route())])
