"""When a service fails, does the page still say something useful?"""

from chaos import Inject, Load, abort, expect

SORRY = "Sorry, product reviews are currently unavailable for this book."


def test_the_page_survives_without_reviews(inject: Inject, load: Load) -> None:
    """productpage asks reviews twice, then shows the page without them."""
    with load("/productpage", rate="100/s") as traffic:
        with inject(abort(500), "productpage -> reviews") as injection:
            during = traffic.window("4s")
        traffic.settle(after=injection)
        after = traffic.window("4s")

    expect(during).to_succeed(at_least="99%")
    expect(during).to_return(containing=SORRY)
    expect(after).to_return(containing="Reviewer1")
    # The application tries again by itself: two calls a page, none of them repeated by the mesh.
    assert during.edge("productpage -> reviews").requests == 2 * during.requests
    assert during.edge("productpage -> reviews").retries == 0


def test_reviews_go_on_without_ratings(inject: Inject, load: Load) -> None:
    """The reviews of v3 lose their stars, and nothing else."""
    with load("/productpage", rate="100/s") as traffic, inject(abort(503), "reviews:v3 -> ratings"):
        during = traffic.window("4s")

    expect(during).to_succeed(at_least="99%")
    expect(during).to_return(containing="Ratings service is currently unavailable")
