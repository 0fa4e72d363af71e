"""Does the page stand when reviews are slow?"""

from chaos import delay, expect


def test_page_survives_slow_reviews(inject, load):
    with load("/productpage", rate="10/s") as traffic:
        traffic.window("20s")
        with inject(delay("10s"), "productpage -> reviews") as injection:
            during = traffic.window("20s")
        traffic.settle(after=injection)

    expect(during).to_respond_within("7s", at="p95")
    expect(during.edge("productpage -> reviews")).to_time_out_within("3.5s")
