"""Before anything goes wrong: does the page answer, and where do its requests go?

Everything here is real: each service runs behind an Envoy sidecar with the routes Istio would give it, and Locust sends the load.
"""

from chaos import Load, expect


def test_the_page_answers(load: Load) -> None:
    with load("/productpage", rate="100/s", observe=["productpage -> reviews", "reviews -> ratings"]) as traffic:
        steady = traffic.window("4s")

    expect(steady).to_succeed(at_least="99%")
    expect(steady).to_return(containing="The Comedy of Errors")
    assert steady.latency("p95") < 0.5
    # One page is one call to reviews, and that one call to ratings.
    assert steady.edge("productpage -> reviews").requests == steady.requests
    assert steady.edge("reviews -> ratings").requests == steady.requests
