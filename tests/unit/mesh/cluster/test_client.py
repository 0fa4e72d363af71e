from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chaos import clock
from chaos.errors import ApiFailure, Conflict, Forbidden, NotFound, Unreachable
from chaos.mesh.cluster import kinds
from chaos.mesh.cluster.client import Client
from chaos.testing.passing_time import PassingTime
from tests.scripted_api import Api, Reply, serving, status, write_kubeconfig

FILTER = {
    "apiVersion": "networking.istio.io/v1alpha3",
    "kind": "EnvoyFilter",
    "metadata": {"name": "one", "namespace": "shop"},
    "spec": {},
}
FILTERS = "/apis/networking.istio.io/v1alpha3/namespaces/shop/envoyfilters"

Served = Callable[..., tuple[Client, Api]]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A client of a server that gives these replies; waiting takes no time."""
    before = clock.use(PassingTime())
    with ExitStack() as stack:

        def serve(*replies: Reply) -> tuple[Client, Api]:
            api = stack.enter_context(serving(*replies))
            client = Client.connect("kind-a", kubeconfig_file=write_kubeconfig(tmp_path / "config", {"kind-a": api.url}))
            stack.callback(client.close)
            return client, api

        yield serve
    clock.use(before)


def test_an_apply_is_server_side_with_our_name_and_forced_only_where_it_is_said(served: Served) -> None:
    client, api = served(Reply(body=FILTER))

    assert client.apply(FILTER) == FILTER

    (asked,) = api.asked
    assert (asked.method, asked.path, asked.body) == ("PATCH", f"{FILTERS}/one", FILTER)
    assert asked.headers["content-type"] == "application/apply-patch+yaml"
    assert asked.headers["authorization"] == "Bearer secret"
    assert asked.query == {"fieldManager": "istio-chaos", "force": "false"}
    client.apply(FILTER, force=True)
    assert api.asked[-1].query == {"fieldManager": "istio-chaos", "force": "true"}


def test_a_list_is_read_to_its_last_page(served: Served) -> None:
    client, api = served(
        Reply(body={"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "more"}}),
        Reply(body={"items": [{"metadata": {"name": "b"}}], "metadata": {}}),
    )

    found = client.items(kinds.ENVOY_FILTER, "shop", labels="istio-chaos.dev/run")

    assert [(item["kind"], item["metadata"]["name"]) for item in found] == [("EnvoyFilter", "a"), ("EnvoyFilter", "b")]
    assert [asked.query.get("continue") for asked in api.asked] == [None, "more"]
    assert all(asked.query["labelSelector"] == "istio-chaos.dev/run" for asked in api.asked)


def test_removing_what_is_not_there_is_told_and_no_error(served: Served) -> None:
    client, api = served(Reply(), status(404, 'envoyfilters "one" not found', name="one"))

    assert client.delete(kinds.ENVOY_FILTER, "one", "shop", uid="7")
    assert not client.delete(kinds.ENVOY_FILTER, "one", "shop")
    assert [asked.body.get("preconditions") for asked in api.asked] == [{"uid": "7"}, None]


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504, 0])
def test_what_may_pass_is_tried_again(served: Served, code: int) -> None:
    client, api = served(Reply(status=code), Reply(status=code, headers={"retry-after": "7"}), Reply(body=FILTER))

    before = clock.now()
    assert client.apply(FILTER) == FILTER

    assert len(api.asked) == 3
    assert (clock.now() - before) / clock.NS >= (7 if code else 0.3)


def test_a_long_retry_after_does_not_stretch_our_patience(served: Served) -> None:
    client, api = served(Reply(status=429, headers={"retry-after": "3600"}, body={"message": "too many"}))

    before = clock.now()
    with pytest.raises(ApiFailure, match="429: too many"):
        client.apply(FILTER)

    assert len(api.asked) == 2
    assert (clock.now() - before) / clock.NS < client.patience + 1


def test_who_never_answers_is_unreachable(served: Served) -> None:
    client, api = served(Reply(status=0))

    with pytest.raises(Unreachable, match=rf"{api.url} \(context kind-a\) does not answer: .*kubectl --context kind-a version"):
        client.version()
    assert len(api.asked) > 3


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        (401, Forbidden, "have expired or are wrong; log in again"),
        (
            403,
            Forbidden,
            r'because\. Add to a Role in shop: \{apiGroups: \["networking.istio.io"\], resources: \[envoyfilters\], verbs: \[create, patch\]\}',
        ),
        (409, Conflict, "because"),
        (422, ApiFailure, "answered PATCH with 422: because"),
    ],
)
def test_a_refusal_is_not_tried_again_and_says_what_to_do(served: Served, code: int, error: type[Exception], said: str) -> None:
    client, api = served(status(code, "because"))

    with pytest.raises(error, match=said):
        client.apply(FILTER)
    assert len(api.asked) == 1


def test_a_kind_that_is_not_known_is_told_from_an_object_that_is_not_there(served: Served) -> None:
    client, _ = served(status(404, 'envoyfilters "one" not found', name="one"), Reply(status=404, body=b"404 page not found\n"))

    with pytest.raises(NotFound, match='envoyfilters "one" not found'):
        client.get(kinds.ENVOY_FILTER, "one", "shop")
    with pytest.raises(NotFound, match=r"does not know envoyfilters\.networking\.istio\.io; is Istio installed"):
        client.items(kinds.ENVOY_FILTER, "shop")


def test_a_kind_is_served_or_not(served: Served) -> None:
    client, _ = served(Reply(body={"resources": [{"name": "envoyfilters"}]}), Reply(status=404, body=b"404 page not found\n"))

    assert client.serves(kinds.ENVOY_FILTER)
    assert not client.serves(kinds.ENVOY_FILTER)


def test_the_time_is_the_servers(served: Served) -> None:
    client, _ = served(Reply(headers={"date": "Fri, 27 Nov 2026 02:00:01 GMT"}))

    assert client.now() == datetime(2026, 11, 27, 2, 0, 1, tzinfo=UTC)


def test_a_lease_is_replaced_only_as_it_was_read(served: Served) -> None:
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "l", "namespace": "shop", "resourceVersion": "5"},
    }
    client, api = served(status(409, "the object has been modified", name="l"))

    with pytest.raises(Conflict, match="has been modified"):
        client.update(lease)
    assert (api.asked[0].method, api.asked[0].body["metadata"]["resourceVersion"]) == ("PUT", "5")


def test_rights_are_asked_for(served: Served) -> None:
    client, api = served(Reply(body={"status": {"allowed": True}}), Reply(body={"status": {"allowed": False}}))

    assert client.may("get", kinds.POD, "shop", subresource="log")
    assert not client.may("get", kinds.POD, "shop")
    assert api.asked[0].body["spec"]["resourceAttributes"] == {
        "verb": "get",
        "group": "",
        "resource": "pods",
        "subresource": "log",
        "namespace": "shop",
    }
