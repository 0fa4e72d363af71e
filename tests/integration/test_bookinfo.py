"""Does the demo application behave as its README says? The real services as processes, without a mesh, with stubs for what fails.

Each service listens on a loopback address of its own; what it calls is named by REVIEWS_HOSTNAME and the like, and its
patience is scaled down by RATINGS_TIMEOUT and the like. A stub that never answers makes every answer proof of a timeout.
"""

from __future__ import annotations

import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from chaos.clock import Deadline, poll
from chaos.istio import documents

ROOT = Path(__file__).parents[2]
BOOKINFO = ROOT / "examples" / "bookinfo"
PATIENCE = 10.0  # seconds until a test gives up; nothing waits that long when it works
TRACING = {
    "x-request-id": "7d9c3a52",
    "x-ot-span-context": "ot",
    "x-b3-traceid": "4bf92f3577b34da6a3ce929d0e0e4736",
    "x-b3-spanid": "00f067aa0ba902b7",
    "x-b3-parentspanid": "00f067aa0ba902b6",
    "x-b3-sampled": "1",
    "x-b3-flags": "0",
    "b3": "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "tracestate": "vendor=1",
    "baggage": "run=1",
    "x-datadog-trace-id": "1",
    "x-datadog-parent-id": "2",
    "x-datadog-sampling-priority": "1",
    "x-cloud-trace-context": "105445aa7843bc8bf206b12000100000/1;o=1",
    "grpc-trace-bin": "AAB",
    "end-user": "jason",
    "user-agent": "a browser",
    "authorization": "Bearer token",
    "cookie": "user=jason",
}

# Addresses of this process alone, so that parallel runs on one machine do not meet.
_addresses = (f"127.77.{os.getpid() % 256}.{n}" for n in count(1))


@dataclass(frozen=True, slots=True)
class Place:
    host: str
    port: int

    def called_by_the_name_of(self, service: str) -> dict[str, str]:
        """The environment of a caller that finds `service` here."""
        return {f"{service.upper()}_HOSTNAME": self.host, f"{service.upper()}_SERVICE_PORT": str(self.port)}

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=PATIENCE)

    @classmethod
    def free(cls) -> Place:
        with socket.socket() as probe:
            probe.bind((next(_addresses), 0))
            return cls(*probe.getsockname())


@dataclass(frozen=True, slots=True)
class Service:
    """One process of Bookinfo."""

    place: Place
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://{self.place.host}:{self.place.port}"

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return httpx.get(self.url + path, headers=headers, timeout=PATIENCE, trust_env=False)

    def post(self, path: str, **body: Any) -> httpx.Response:
        return httpx.post(self.url + path, timeout=PATIENCE, trust_env=False, **body)

    def ask(self, path: str) -> socket.socket:
        """Send a request and do not wait for its answer."""
        caller = self.place.connect()
        caller.sendall(f"GET {path} HTTP/1.1\r\nHost: bookinfo\r\n\r\n".encode())
        return caller

    @property
    def listening(self) -> bool:
        # Reset: it stopped listening between our first packet and its answer.
        with suppress(ConnectionRefusedError, ConnectionResetError), self.place.connect():
            return True
        return False


@contextmanager
def running(name: str, *environments: Mapping[str, str]) -> Iterator[Service]:
    """Start a service; stop it by SIGTERM at the end, and insist that it exits cleanly."""
    place = Place.free()
    env = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    env |= {"HOST": place.host, "PORT": str(place.port), "POD_NAME": f"{name}-7c5d-x2x9z"}
    for more in environments:
        env |= more
    process = subprocess.Popen([sys.executable, "-m", f"bookinfo.{name}"], cwd=BOOKINFO, env=env)
    try:
        yield Service(place, process)
        process.send_signal(signal.SIGTERM)  # nothing happens if it has ended already
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def ready(*services: Service) -> None:
    """Wait until all of them listen; starting several first and waiting then keeps the tests fast."""
    for service in services:
        assert poll(partial(_listens, service), deadline=Deadline.after(PATIENCE)), f"{service} did not start"


def _listens(service: Service) -> bool:
    assert service.process.poll() is None, f"{service} ended at its start"
    return service.listening


Behaviour = Callable[["Stub", BaseHTTPRequestHandler], None]


@dataclass(slots=True)
class Stub:
    """A called service that does as told and remembers its requests."""

    place: Place
    behaviour: Behaviour
    requests: list[dict[str, str]] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def told(self, behaviour: Behaviour) -> Stub:
        self.behaviour = behaviour
        self.requests.clear()
        self.connections.clear()
        return self

    def is_called(self) -> bool:
        return bool(poll(lambda: bool(self.requests), deadline=Deadline.after(PATIENCE)))

    def caller_has_left(self) -> bool:
        """Whether the last call's connection was closed from the other side."""
        try:
            return self.connections[-1].recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True


@contextmanager
def stub(behaviour: Behaviour) -> Iterator[Stub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.connections.append(self.connection)
            made.requests.append({name.lower(): value for name, value in self.headers.items()})
            with suppress(BrokenPipeError, ConnectionResetError):
                made.behaviour(made, self)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer((next(_addresses), 0), Handler) as server:
        made = Stub(Place(*server.server_address[:2]), behaviour)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield made
        finally:
            made.release.set()
            server.shutdown()
            thread.join()


def answers(body: str, status: int = 200, *, connection: str = "close") -> Behaviour:
    def behave(_: Stub, request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("content-length", str(len(body)))
        request.send_header("connection", connection)
        request.end_headers()
        request.wfile.write(body.encode())

    return behave


def never_answers(made: Stub, request: BaseHTTPRequestHandler) -> None:
    made.release.wait()
    request.close_connection = True


def answers_once_per_connection(made: Stub, request: BaseHTTPRequestHandler) -> None:
    """Keep the connection, and close it without a word when it is used again."""
    if made.connections.count(request.connection) == 1:
        answers("{}", connection="keep-alive")(made, request)
    else:
        request.close_connection = True


@pytest.fixture(scope="module")
def bookinfo() -> Iterator[dict[str, Service]]:
    """All services together, each version of reviews, and a page for the first and the last of them."""
    with ExitStack() as started:
        services = {name: started.enter_context(running(name)) for name in ("details", "ratings")}
        finds_details = services["details"].place.called_by_the_name_of("details")
        finds_ratings = services["ratings"].place.called_by_the_name_of("ratings")
        for version in ("v1", "v2", "v3"):
            reviews = started.enter_context(running("reviews", finds_ratings, {"SERVICE_VERSION": version}))
            services[f"reviews:{version}"] = reviews
        for version in ("v1", "v3"):
            finds_reviews = services[f"reviews:{version}"].place.called_by_the_name_of("reviews")
            services[f"page:{version}"] = started.enter_context(running("productpage", finds_details, finds_ratings, finds_reviews))
        ready(*services.values())
        yield services


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """A productpage and a reviews v3 that call stubs, with little patience for reviews and ratings and much for details."""

    page: Service
    reviews: Service
    stubs: Mapping[str, Stub]


@pytest.fixture(scope="module")
def services_alone() -> Iterator[Alone]:
    with ExitStack() as started:
        stubs = {name: started.enter_context(stub(never_answers)) for name in ("details", "reviews", "ratings")}
        finds = {name: made.place.called_by_the_name_of(name) for name, made in stubs.items()}
        patience = {"DETAILS_TIMEOUT": "60", "REVIEWS_TIMEOUT": "0.2", "RATINGS_TIMEOUT": "0.2"}
        page = started.enter_context(running("productpage", finds["details"], finds["reviews"], patience))
        reviews = started.enter_context(running("reviews", finds["ratings"], patience, {"SERVICE_VERSION": "v3"}))
        ready(page, reviews)
        yield Alone(page=page, reviews=reviews, stubs=stubs)


@pytest.fixture
def alone(services_alone: Alone) -> Alone:
    """With every stub forgetful and well again."""
    for made in services_alone.stubs.values():
        made.told(answers("{}"))
    return services_alone


def test_the_page_shows_the_book_its_details_and_its_reviews(bookinfo):
    answer = bookinfo["page:v3"].get("/productpage")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    for text in ("The Comedy of Errors", "Book Details", "PublisherA", "Book Reviews", "Reviewer1", "Reviewer2"):
        assert text in answer.text
    assert '<div class="stars text-red-500">★★★★★</div>' in answer.text
    assert '<div class="stars text-red-500">★★★★☆</div>' in answer.text
    assert "Reviews served by: reviews-7c5d-x2x9z" in answer.text


def test_the_page_has_no_stars_from_the_first_version(bookinfo):
    answer = bookinfo["page:v1"].get("/productpage")
    assert "Reviewer1" in answer.text and "stars" not in answer.text and "Ratings service" not in answer.text


def test_the_api_gives_the_same_as_json(bookinfo):
    page = bookinfo["page:v3"]
    assert page.get("/api/v1/products").json()[0]["title"] == "The Comedy of Errors"
    assert page.get("/api/v1/products/0").json() == bookinfo["details"].get("/details/0").json()
    assert page.get("/api/v1/products/0/reviews").json() == bookinfo["reviews:v3"].get("/reviews/0").json()
    assert page.get("/api/v1/products/0/ratings").json() == {"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}


@pytest.mark.parametrize(("version", "color"), [("v2", "black"), ("v3", "red")])
def test_reviews_have_the_stars_of_their_version(bookinfo, version, color):
    answer = bookinfo[f"reviews:{version}"].get("/reviews/0").json()
    assert (answer["id"], answer["podname"], answer["clustername"]) == ("0", "reviews-7c5d-x2x9z", "null")
    assert [(review["reviewer"], review["rating"]) for review in answer["reviews"]] == [
        ("Reviewer1", {"stars": 5, "color": color}),
        ("Reviewer2", {"stars": 4, "color": color}),
    ]


def test_reviews_of_the_first_version_know_no_stars(bookinfo):
    assert all("rating" not in review for review in bookinfo["reviews:v1"].get("/reviews/0").json()["reviews"])


@pytest.mark.parametrize("name", ["details", "ratings", "reviews:v1", "page:v1"])
def test_every_service_says_that_it_is_healthy(bookinfo, name):
    answer = bookinfo[name].get("/health")
    assert answer.status_code == 200 and "is healthy" in answer.text


def test_posted_ratings_are_kept_for_that_product(bookinfo):
    ratings = {"Reviewer1": 1, "Reviewer2": 0}
    answer = bookinfo["ratings"].post("/ratings/7", json=ratings)
    assert answer.json() == bookinfo["ratings"].get("/ratings/7").json() == {"id": 7, "ratings": ratings}
    assert [r["rating"]["stars"] for r in bookinfo["reviews:v2"].get("/reviews/7").json()["reviews"]] == [1, 0]
    assert bookinfo["ratings"].get("/ratings/0").json()["ratings"] == {"Reviewer1": 5, "Reviewer2": 4}


@pytest.mark.parametrize("body", ["stars", "[5]", '{"Reviewer1": 6}', '{"Reviewer1": "5"}'])
def test_ratings_refuses_what_are_no_ratings(bookinfo, body):
    answer = bookinfo["ratings"].post("/ratings/8", content=body)
    assert answer.status_code == 400 and "valid ratings" in answer.json()["error"]
    assert bookinfo["ratings"].get("/ratings/8").json()["ratings"] == {"Reviewer1": 5, "Reviewer2": 4}


@pytest.mark.parametrize(("name", "path"), [("details", "/details/x"), ("ratings", "/ratings/x")])
def test_a_product_is_a_number(bookinfo, name, path):
    answer = bookinfo[name].get(path)
    assert answer.status_code == 400 and "numeric product" in answer.json()["error"]


def test_a_visitor_signs_in_and_out(bookinfo):
    with httpx.Client(base_url=bookinfo["page:v1"].url, follow_redirects=True, timeout=PATIENCE, trust_env=False) as visitor:
        assert "Sign in" in visitor.get("/productpage").text
        assert "jason <a" in visitor.post("/login", data={"username": "jason"}).text
        assert "Sign in" in visitor.get("/logout").text


def test_a_username_is_not_markup(bookinfo):
    assert bookinfo["page:v1"].post("/login", data={"username": "<b>"}).status_code == 400
    assert "<b>" not in bookinfo["page:v1"].get("/productpage", {"end-user": "<b>"}).text


@pytest.mark.parametrize(
    ("caller", "path", "callees"), [("page", "/productpage", ("details", "reviews")), ("reviews", "/reviews/0", ("ratings",))]
)
def test_tracing_headers_and_the_user_go_along(alone, caller, path, callees):
    getattr(alone, caller).get(path, {**TRACING, "x-unrelated": "1"})
    for callee in callees:
        (sent,) = alone.stubs[callee].requests
        assert {name: sent.get(name) for name in TRACING} == TRACING
        assert "x-unrelated" not in sent


def test_who_signed_in_by_cookie_is_named_in_the_header(alone):
    alone.page.get("/productpage", {"cookie": "user=jason"})
    alone.page.get("/productpage")
    assert [request.get("end-user") for request in alone.stubs["reviews"].requests] == ["jason", None]


def test_the_page_does_without_details(alone):
    alone.stubs["details"].told(answers("oops", 503))
    answer = alone.page.get("/productpage")
    assert answer.status_code == 200
    assert "Error fetching product details" in answer.text
    assert "Sorry, product details are currently unavailable for this book." in answer.text
    assert "Book Reviews" in answer.text
    assert len(alone.stubs["details"].requests) == 1
    assert alone.page.get("/api/v1/products/0").status_code == 503


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        pytest.param(answers("oops", 503), 503, id="error"),
        pytest.param(answers("oops"), 500, id="no JSON"),
        pytest.param(never_answers, 500, id="late"),
    ],
)
def test_productpage_tries_reviews_twice_and_then_apologises(alone, behaviour, status):
    sorry = "Sorry, product reviews are currently unavailable for this book."
    reviews = alone.stubs["reviews"].told(behaviour)
    answer = alone.page.get("/productpage")
    assert answer.status_code == 200
    assert "Error fetching product reviews" in answer.text and sorry in answer.text
    assert (len(alone.stubs["details"].requests), len(reviews.requests)) == (1, 2)
    answer = alone.page.get("/api/v1/products/0/reviews")
    assert (answer.status_code, answer.json()) == (status, {"error": sorry})


@pytest.mark.parametrize("behaviour", [pytest.param(answers("oops", 503), id="error"), pytest.param(never_answers, id="late")])
def test_reviews_answers_without_stars_and_asks_ratings_once(alone, behaviour):
    ratings = alone.stubs["ratings"].told(behaviour)
    answer = alone.reviews.get("/reviews/0")
    assert answer.status_code == 200
    assert [r["rating"] for r in answer.json()["reviews"]] == [{"error": "Ratings service is currently unavailable"}] * 2
    assert len(ratings.requests) == 1


def test_a_call_is_one_request_even_when_a_kept_connection_closes(alone):
    details = alone.stubs["details"].told(answers_once_per_connection)
    assert [alone.page.get("/api/v1/products/0").status_code for _ in range(2)] == [200, 500]
    assert len(details.requests) == 2


def test_productpage_stops_working_for_a_visitor_who_leaves(alone):
    details = alone.stubs["details"].told(never_answers)
    with alone.page.ask("/productpage"):
        assert details.is_called()
    assert poll(details.caller_has_left, deadline=Deadline.after(PATIENCE))


def test_reviews_does_not_notice_that_its_caller_left_and_answers_the_others_before_it_ends():
    with stub(never_answers) as ratings:
        finds_ratings = ratings.place.called_by_the_name_of("ratings")
        with running("reviews", finds_ratings, {"SERVICE_VERSION": "v2"}) as reviews:
            ready(reviews)
            with reviews.ask("/reviews/0"):
                assert ratings.is_called()
            for _ in range(3):  # round trips that begin after the caller has left
                assert reviews.get("/health").status_code == 200
            assert not ratings.caller_has_left()

            ratings.told(never_answers)
            with reviews.place.connect(), reviews.ask("/reviews/0") as caller:  # an idle connection and a busy one
                assert ratings.is_called()
                reviews.process.send_signal(signal.SIGTERM)
                assert poll(lambda: not reviews.listening, deadline=Deadline.after(PATIENCE))
                ratings.release.set()
                assert caller.recv(4096).startswith(b"HTTP/1.1 200 OK")
                assert reviews.process.wait(PATIENCE) == 0


def test_calls_go_through_the_proxy():
    with stub(answers("{}")) as sidecar:
        with running("productpage", {"HTTP_PROXY": f"http://{sidecar.place.host}:{sidecar.place.port}"}) as page:
            ready(page)
            assert page.get("/api/v1/products/0").json() == {}
        assert [request["host"] for request in sidecar.requests] == ["details:9080"]


@pytest.fixture
def module_under(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """The names of a module of Bookinfo, run afresh with this environment."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.syspath_prepend(BOOKINFO)

    def run(module: str, env: Mapping[str, str]) -> dict[str, Any]:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(BOOKINFO / "bookinfo" / f"{module}.py"))

    return run


@pytest.mark.parametrize(
    ("env", "enabled", "color", "timeout"),
    [
        ({"SERVICE_VERSION": "v1"}, False, "black", 10.0),
        ({"SERVICE_VERSION": "v2"}, True, "black", 10.0),
        ({"SERVICE_VERSION": "v3"}, True, "red", 2.5),
        ({"SERVICE_VERSION": "v4", "ENABLE_RATINGS": "true", "STAR_COLOR": "green"}, True, "green", 2.5),
        ({"SERVICE_VERSION": "v2", "ENABLE_RATINGS": "false"}, False, "black", 10.0),
    ],
)
def test_the_version_decides_on_stars_and_patience(module_under, env, enabled, color, timeout):
    reviews = module_under("reviews", env)
    assert (reviews["RATINGS_ENABLED"], reviews["STAR_COLOR"], reviews["RATINGS"].timeout) == (enabled, color, timeout)


def test_productpage_waits_three_seconds_for_each(module_under):
    peers = module_under("productpage", {})["PEERS"]
    assert {name: peer.timeout for name, peer in peers.items()} == {"details": 3.0, "reviews": 3.0, "ratings": 3.0}


@pytest.mark.parametrize(
    ("env", "url", "proxy"),
    [
        ({}, "http://ratings:9080/ratings", None),
        # Kubernetes' own variable belongs to an address, which is not what is called.
        ({"RATINGS_SERVICE_PORT": "15001"}, "http://ratings:9080/ratings", None),
        ({"RATINGS_HOSTNAME": "other"}, "http://other:9080/ratings", None),
        ({"RATINGS_HOSTNAME": "other", "RATINGS_SERVICE_PORT": "81"}, "http://other:81/ratings", None),
        ({"HTTP_PROXY": "http://127.0.0.9:15080"}, "http://ratings:9080/ratings", "http://127.0.0.9:15080"),
        ({"HTTP_PROXY": "http://127.0.0.9:15080", "NO_PROXY": "ratings"}, "http://ratings:9080/ratings", None),
    ],
)
def test_where_a_call_goes(module_under, env, url, proxy):
    ratings = module_under("reviews", env)["RATINGS"]
    assert (ratings.url, ratings.proxy) == (url, proxy)


@pytest.fixture(scope="module")
def manifests() -> list[documents.Document]:
    return documents.read([BOOKINFO / "manifests"])


def test_the_manifests_hold_one_namespace_first(manifests):
    assert Counter(o.kind for o in manifests) == {
        "Namespace": 1,
        "Service": 4,
        "ServiceAccount": 4,
        "Deployment": 6,
        "DestinationRule": 4,
        "VirtualService": 3,
    }
    assert {o.namespace for o in manifests if o.kind != "Namespace"} == {"bookinfo"}
    assert (manifests[0].kind, manifests[0].name) == ("Namespace", "bookinfo")  # kubectl applies the files in this order


def test_every_route_leads_to_a_subset_with_pods(manifests):
    def labels_of(deployment: documents.Document) -> dict[str, str]:
        return deployment.spec["template"]["metadata"]["labels"]

    pods = {(labels_of(o)["app"], labels_of(o)["version"]) for o in manifests if o.kind == "Deployment"}
    rules = [o.spec for o in manifests if o.kind == "DestinationRule"]
    routes = [route for o in manifests if o.kind == "VirtualService" for http in o.spec["http"] for route in http["route"]]
    subsets = {(rule["host"], subset["labels"]["version"]) for rule in rules for subset in rule["subsets"]}
    assert subsets == pods
    assert {(route["destination"]["host"], route["destination"]["subset"]) for route in routes} <= subsets


def test_the_topology_says_what_to_start_for_every_image(manifests):
    experiments = ROOT / "experiments"
    topology = yaml.safe_load((experiments / "chaos.yaml").read_text())
    images = {o.spec["template"]["spec"]["containers"][0]["image"] for o in manifests if o.kind == "Deployment"}
    workloads = topology["local"]["workloads"]
    assert {image.rpartition(":")[0] for image in images} == set(workloads)
    for image, workload in workloads.items():
        assert workload["command"][:2] == ["python", "-m"]
        program = (experiments / workload["cwd"]).joinpath(*workload["command"][2].split(".")).with_suffix(".py")
        assert program.is_file() and program.stem in image
    assert [(experiments / path).resolve() for path in topology["local"]["manifests"]] == [BOOKINFO / "manifests"]
    assert topology["entry"] == {"service": "productpage", "namespace": "bookinfo", "port": 9080}
