import pytest

from chaos.errors import InvalidValue
from chaos.model.edge import Edge, Party


@pytest.mark.parametrize(
    ("text", "edge"),
    [
        ("productpage -> reviews", Edge(Party("productpage"), Party("reviews"))),
        ("productpage->reviews", Edge(Party("productpage"), Party("reviews"))),
        ("productpage -> reviews.other-ns", Edge(Party("productpage"), Party("reviews", "other-ns"))),
        ("reviews:v3 -> ratings", Edge(Party("reviews", None, "v3"), Party("ratings"))),
        ("reviews:v3.shop -> ratings", Edge(Party("reviews", "shop", "v3"), Party("ratings"))),
        ("-> productpage", Edge(None, Party("productpage"))),
        ("productpage -> api.partner.example", Edge(Party("productpage"), Party("api.partner.example"))),
        ("productpage -> reviews.shop.svc", Edge(Party("productpage"), Party("reviews.shop.svc"))),
    ],
)
def test_edges_as_people_write_them(text: str, edge: Edge) -> None:
    assert Edge.of(text) == edge
    assert Edge.of(str(edge)) == edge
    assert Edge.of(edge) is edge


@pytest.mark.parametrize(
    "text", ["reviews", "a -> b -> c", "a ->", "", "A -> b", "a b -> c", "a -> b_c", "a -> b..c", "a -> b.c.", None, 3]
)
def test_what_is_no_edge_is_refused_with_the_form(text: object) -> None:
    with pytest.raises(InvalidValue, match="write"):
        Edge.of(text)


def test_a_version_stands_at_the_caller_only() -> None:
    with pytest.raises(InvalidValue, match="replicas=1"):
        Edge.of("reviews -> ratings:v1")


def test_ids_have_no_spaces() -> None:
    assert Edge.of("reviews:v3 -> ratings").id == "reviews:v3->ratings"
