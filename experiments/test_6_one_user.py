"""A fault for one user only: jason tests, everybody else must not notice."""

from chaos import Inject, Load, abort, expect


def test_only_jason_loses_the_stars(inject: Inject, load: Load) -> None:
    with (
        load("/productpage", rate="80/s", headers={"end-user": "jason"}) as jason,
        load("/productpage", rate="80/s", headers={"end-user": "alice"}) as alice,
        inject(abort(500), "reviews -> ratings", match={"end-user": "jason"}),
        alice.recording() as hers,
    ):
        his = jason.window("4s")

    expect(his).to_return(containing="Ratings service is currently unavailable")
    expect(hers).to_return(containing="★")
