"""One of two replicas answers with errors only. Does the circuit breaker take it out, and does anybody else notice?"""

from chaos import Inject, Load, abort, expect


def test_the_bad_replica_is_ejected_and_nobody_else_notices(inject: Inject, load: Load) -> None:
    with (
        load("/productpage", rate="80/s") as own,
        load("/productpage", rate="80/s", own=False) as bystanders,
        inject(abort(500), "reviews -> ratings", replicas=1),
        bystanders.recording() as theirs,
    ):
        during = own.window("5s")

    edge = during.edge("reviews -> ratings")
    # Five errors in a row and the replica is out; the mesh's retries hide even those from the page.
    expect(edge).to_open_circuit(within="4s")
    assert edge.faults < 20
    expect(during).to_return(containing="★")
    # The others go through the same proxies, but not through our copy of the path: they keep both replicas.
    expect(theirs).to_return(containing="★")
