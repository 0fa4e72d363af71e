"""The exact question over real HTTP, and what is said when there is no answer."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chaos.errors import Unreachable
from chaos.mesh.cluster.prometheus import Prometheus
from chaos.mesh.port import Pod
from chaos.model.edge import Edge

EDGE = Edge.of("reviews -> ratings")
RATINGS = "ratings.bookinfo.svc.cluster.local"
CALLER = Pod(name="reviews-v3-1", namespace="bookinfo", workload="reviews-v3", labels={}, ip="10.0.0.1")


def matrix(**labels: str) -> dict[str, object]:
    return {"metric": {"instance": "a", **labels}, "values": [[100, "1"], [115, "31"]]}


ANSWERS = {
    "istio_requests_total": [matrix(response_code="200")],
    "istio_request_duration_milliseconds_bucket": [matrix(response_code="200", le="10"), matrix(response_code="200", le="+Inf")],
}


@contextmanager
def answering(status: int, body: bytes | None) -> Iterator[tuple[str, list[str]]]:
    """A server that answers so, or like Prometheus if `body` is None; what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query)).get("query", "")
            found = ANSWERS.get(query.partition("{")[0], [])
            data = {"result": found} if query else {"version": "2.42.0"}
            answer = json.dumps({"status": "success", "data": data}).encode() if body is None else body
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://ops:secret@127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def prometheus(status: int = 200, body: bytes | None = None) -> Iterator[tuple[Prometheus, list[str]]]:
    with answering(status, body) as (url, asked):
        client = Prometheus(url + "/")
        try:
            yield client, asked
        finally:
            client.close()


def test_an_edge_is_asked_for_with_two_queries_at_the_end_of_the_stretch() -> None:
    with prometheus() as (client, asked):
        seen = client.bystanders(EDGE, [CALLER], RATINGS, 90.0, 120.25)

    assert (seen.requests, seen.errors, seen.buckets) == (30, 0, ((0.01, 30), (float("inf"), 30)))
    questions = [dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query)) for path in asked]
    assert [urllib.parse.urlsplit(path).path for path in asked] == ["/api/v1/query"] * 2
    assert {question["time"] for question in questions} == {"120.250"}
    assert questions[0]["query"] == (
        'istio_requests_total{reporter="source",source_workload_namespace="bookinfo",'
        'destination_service="ratings.bookinfo.svc.cluster.local",source_workload=~"reviews-v3"}[30s]'
    )


def test_a_check_names_it_without_its_password() -> None:
    with prometheus() as (client, _):
        told = client.check()

    assert told.startswith("Prometheus 2.42.0 at http://127.0.0.1:")
    assert "secret" not in told


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, b'{"status": "error", "error": "parse error"}', "refused: 400: parse error"),
        (200, b"<html>grafana</html>", "see that targets: prometheus:"),
        (200, b"[]", "its answer is no JSON object"),
    ],
)
def test_what_is_no_answer_is_unreachable(status: int, body: bytes, said: str) -> None:
    with prometheus(status, body) as (client, _), pytest.raises(Unreachable, match=said) as told:
        client.check()

    assert "secret" not in str(told.value)


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(Unreachable, match=r"Prometheus at http://127.0.0.1:1: .*; see that targets"):
        Prometheus("http://127.0.0.1:1").check()
