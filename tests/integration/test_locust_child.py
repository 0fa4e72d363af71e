"""Does real Locust, in its own process, send and see exactly what it should? Against a real HTTP server on loopback."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from chaos.clock import NS, Deadline, now, poll
from chaos.errors import InvalidValue, LoadFailure
from chaos.load.locust import LocustGenerator
from chaos.load.locust.child import Child
from chaos.load.locust.wire import STARTED, STOPPED, Message
from chaos.load.port import ClosedModel, Flow, LoadPlan, OpenModel, Requests, Script
from chaos.model.marks import Mark, sequence_of
from chaos.model.samples import STALE_CONNECTION, TIMED_OUT, Samples
from tests.origin import Origin

MARK = Mark("0123456789ab", 1).flow(1)
PATIENCE = 15.0
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocustGenerator]:
    # A proxy that does not exist: whoever used it would see nothing but errors.
    env = {**os.environ, "HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "LOCUST_HOST": "x"}
    with closing(LocustGenerator(tmp_path_factory.mktemp("run"), env=env)) as generator:
        yield generator


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def plan(what: Requests | Script, model: OpenModel | ClosedModel, timeout: float = 5.0) -> LoadPlan:
    return LoadPlan(what=what, model=model, timeout=timeout, mark=MARK)


def run(
    generator: LocustGenerator,
    what: Requests | Script,
    model: OpenModel | ClosedModel | None = None,
    *,
    count: int = 8,
    timeout: float = 5.0,
) -> Samples:
    """Send until that many requests have ended, then stop."""
    flow = generator.start(plan(what, model or OpenModel(50.0), timeout))
    until_ended(flow, count)
    flow.stop()
    assert flow.resolved(now() + NS)
    return flow.samples()


def until_ended(flow: Flow, count: int) -> None:
    def enough() -> bool:
        flow.check()
        return len(flow.samples()) >= count

    assert poll(enough, deadline=Deadline.after(PATIENCE)), len(flow.samples())


def errors(samples: Samples) -> Counter[str]:
    return Counter(samples.error(i) for i in range(len(samples)))


def marks(origin: Origin) -> list[int | None]:
    return [sequence_of(seen.headers["traceparent"], MARK) for seen in origin.seen]


# -- requests of our own ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [OpenModel(50.0), ClosedModel(2)], ids=str)
def test_each_request_arrives_once_with_its_mark(
    generator: LocustGenerator, origin: Origin, model: OpenModel | ClosedModel
) -> None:
    samples = run(generator, origin.requests("/page?size=2"), model)

    assert sorted(marks(origin)) == list(samples["sequence"])
    for seen in origin.seen:
        sequence = sequence_of(seen.headers["traceparent"], MARK)
        assert sequence is not None
        assert MARK.headers(sequence).items() <= seen.headers.items()
    assert {samples.tables.texts[name] for name in samples["name"]} == {"/page"}
    assert set(samples["status"]) == {200}
    assert set(samples["size"]) == {2}
    assert set(samples["grpc"]) == {-1}


def test_a_request_is_sent_as_asked(generator: LocustGenerator, origin: Origin) -> None:
    what = origin.requests("/echo", method="PUT", headers={"X-Kind": "test"}, body=b"\x00\xff", host="shop.example")
    samples = run(generator, what, count=2)
    seen = origin.seen[0]

    assert (seen.method, seen.body) == ("PUT", b"\x00\xff")
    assert seen.headers["host"] == "shop.example"
    assert seen.headers["x-kind"] == "test"
    response = samples.response(0)
    assert response is not None
    assert response.body == b"\x00\xff"


def test_the_plan_is_kept_to_the_last_arrival(generator: LocustGenerator, origin: Origin) -> None:
    flow = generator.start(plan(origin.requests("/ok"), OpenModel(100.0)))
    until = flow.started + NS // 2
    assert poll(lambda: flow.resolved(until), deadline=Deadline.after(PATIENCE))
    flow.stop()
    seen = flow.samples().between(flow.started, until)

    assert len(seen) / flow.scheduled(flow.started, until) == 1
    assert len(seen) == 50
    assert all(sent > 0 for sent in seen["sent"])


def test_arrivals_do_not_wait_for_answers(generator: LocustGenerator, origin: Origin) -> None:
    flow = generator.start(plan(origin.requests("/hang"), OpenModel(100.0)))
    assert poll(lambda: len(origin.seen) >= 20, deadline=Deadline.after(PATIENCE))
    assert len(flow.samples()) == 0
    origin.release.set()
    flow.stop()

    assert errors(flow.samples()).keys() == {""}


def test_an_arrival_over_the_cap_is_unsent(origin: Origin, tmp_path: Path) -> None:
    spawned: list[int] = []
    with closing(LocustGenerator(tmp_path, spawned=spawned.append)) as generator:
        run(generator, origin.requests("/ok"), count=1)
        # 200 files are reserved, so ten requests may be in flight.
        resource.prlimit(spawned[0], resource.RLIMIT_NOFILE, (210, 210))
        flow = generator.start(plan(origin.requests("/hang"), OpenModel(100.0)))
        until_ended(flow, 10)
        held = origin.paths().count("/hang")
        origin.release.set()
        flow.stop()
        samples = flow.samples()

    unsent = samples.where([sent == 0 for sent in samples["sent"]])
    assert held == 10
    assert list(unsent["sequence"])[:10] == list(range(10, 20))
    assert unsent["ended"] == unsent["scheduled"]
    assert set(unsent["status"]) == {0}
    assert len(samples) == flow.scheduled(flow.started, now())


def test_an_arrival_for_which_no_file_is_left_is_unsent(origin: Origin, tmp_path: Path) -> None:
    spawned: list[int] = []
    with closing(LocustGenerator(tmp_path, spawned=spawned.append)) as generator:
        flow = generator.start(plan(origin.requests("/hang"), OpenModel(50.0)))
        assert poll(lambda: len(origin.seen) >= 3, deadline=Deadline.after(PATIENCE))
        limits = resource.prlimit(spawned[0], resource.RLIMIT_NOFILE)
        resource.prlimit(spawned[0], resource.RLIMIT_NOFILE, (3, limits[1]))
        until_ended(flow, 5)
        samples = flow.samples()

    assert set(samples["sent"]) == {0}
    assert errors(samples).keys() == {""}


def test_a_late_dispatcher_catches_up_and_says_how_late_it_was(origin: Origin, tmp_path: Path) -> None:
    spawned: list[int] = []
    with closing(LocustGenerator(tmp_path, spawned=spawned.append)) as generator:
        flow = generator.start(plan(origin.requests("/ok"), OpenModel(100.0)))
        os.kill(spawned[0], signal.SIGSTOP)
        asleep = now()
        poll(lambda: now() > asleep + NS // 2, deadline=Deadline.after(PATIENCE))
        os.kill(spawned[0], signal.SIGCONT)
        until = asleep + NS // 2
        assert poll(lambda: flow.resolved(until), deadline=Deadline.after(PATIENCE))
        flow.stop()
        late = flow.samples().between(asleep + NS // 10, until)

    assert len(late) == flow.scheduled(asleep + NS // 10, until) >= 39
    assert all(sent >= until for sent in late["sent"])
    assert set(late["status"]) == {200}


def test_a_stop_gives_up_what_does_not_end(generator: LocustGenerator, origin: Origin) -> None:
    for model in (OpenModel(50.0), ClosedModel(2)):
        flow = generator.start(plan(origin.requests("/hang"), model, timeout=0.3))
        before = len(origin.seen)
        assert poll(lambda: len(origin.seen) > before, deadline=Deadline.after(PATIENCE))  # noqa: B023 - polled here
        flow.stop()

        assert errors(flow.samples()).keys() == {TIMED_OUT}
        assert len(flow.samples()) == flow.scheduled(0, now())


# -- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"Expect": "100-continue"}], ids=["plain", "expect"])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_nothing_is_resent_to_a_server_that_closes(
    generator: LocustGenerator, origin: Origin, method: str, headers: dict[str, str]
) -> None:
    samples = run(generator, origin.requests("/closes", method=method, headers=headers, body=b"x"), count=4)

    assert sorted(marks(origin)) == list(samples["sequence"])
    assert errors(samples).keys() == {"connection closed"}


def test_a_closed_idle_connection_is_called_stale(generator: LocustGenerator, origin: Origin) -> None:
    samples = run(generator, origin.requests("/fickle"), ClosedModel(1))

    assert sorted(marks(origin)) == list(samples["sequence"])
    assert [samples.error(i) for i in range(4)] == ["", STALE_CONNECTION, "", STALE_CONNECTION]
    assert list(samples["status"])[:4] == [200, 0, 200, 0]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/resets", "connection reset"),
        ("/half", "HTTPParseError: Incomplete response."),
        ("/hang", TIMED_OUT),
        ("/trickle", TIMED_OUT),
    ],
)
def test_a_failure_has_one_name(generator: LocustGenerator, origin: Origin, path: str, error: str) -> None:
    samples = run(generator, origin.requests(path), count=3, timeout=0.1)

    assert errors(samples).keys() == {error}
    assert set(samples["status"]) == {0}
    assert set(samples["response"]) == {0}


def test_a_refused_connection_is_named(generator: LocustGenerator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    samples = run(generator, Requests(url=f"http://127.0.0.1:{port}/"), count=3)

    assert errors(samples).keys() == {"connection refused"}


def test_a_body_that_cannot_be_sent_times_out_and_costs_no_connection(generator: LocustGenerator) -> None:
    """A server that accepts and never reads: more requests than the pool has places must all end alike."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        what = Requests(url=f"http://127.0.0.1:{server.getsockname()[1]}/", method="POST", body=b"x" * 16_000_000)
        samples = run(generator, what, OpenModel(20.0), count=20, timeout=0.1)
        server.setblocking(False)
        connections = 0
        with suppress(BlockingIOError):
            while True:
                server.accept()[0].close()
                connections += 1

    assert errors(samples).keys() == {TIMED_OUT}
    assert connections == len(samples)


# -- what is kept of responses ----------------------------------------------------------------------------------------


def test_equal_responses_are_kept_once(generator: LocustGenerator, origin: Origin) -> None:
    samples = run(generator, origin.requests("/varying"))
    response = samples.response(0)

    assert set(samples["response"]) == {1}
    assert len(samples.tables.responses) == 2
    assert response is not None
    assert response.body == b"same"
    assert response.headers["content-length"] == "4"
    assert "date" not in response.headers


def test_a_long_body_is_measured_not_kept(generator: LocustGenerator, origin: Origin) -> None:
    samples = run(generator, origin.requests("/big"), count=2)

    assert set(samples["size"]) == {300 * 1024}
    assert set(samples["response"]) == {0}


def test_a_status_is_no_error(generator: LocustGenerator, origin: Origin) -> None:
    samples = run(generator, origin.requests("/status/503"), count=2)

    assert set(samples["status"]) == {503}
    assert errors(samples).keys() == {""}


def test_a_redirect_is_the_answer(generator: LocustGenerator, origin: Origin) -> None:
    samples = run(generator, origin.requests("/redirect"), count=2)

    assert set(samples["status"]) == {302}
    assert set(origin.paths()) == {"/redirect"}


def test_a_user_keeps_cookies(generator: LocustGenerator, origin: Origin) -> None:
    run(generator, origin.requests("/cookie"), ClosedModel(1), count=3)

    assert [seen.headers.get("cookie") for seen in origin.seen[:3]] == [None, "session=abc", "session=abc"]


def test_an_arrival_has_no_past(generator: LocustGenerator, origin: Origin) -> None:
    run(generator, origin.requests("/cookie"), count=3)

    assert {seen.headers.get("cookie") for seen in origin.seen} == {None}


def test_what_http_cannot_carry_is_refused(generator: LocustGenerator, origin: Origin) -> None:
    for model in (OpenModel(1.0), ClosedModel(1)):
        with pytest.raises(InvalidValue, match="BAD METHOD"):
            generator.start(plan(origin.requests("/ok", method="BAD METHOD"), model))
        with pytest.raises(InvalidValue, match="x-bad"):
            generator.start(plan(origin.requests("/ok", headers={"x-bad": "a\nb"}), model))

    assert origin.seen == []


# -- locustfiles ------------------------------------------------------------------------------------------------------

SHOP = """
from locust import {user}, constant, events, task

SEEN = []


@events.request.add_listener
def on_request(context, **_):
    assert "istio-chaos" not in context, "our entry is nobody else's business"
    SEEN.append(context)


class Shopper({user}):
    wait_time = constant(0)

    @task
    def shop(self):
        self.client.get("/ok?a=1", name="page", headers={{"X-Kind": "test", "Traceparent": "mine"}})
        with self.client.get("/page", catch_response=True) as response:
            response.failure("no stock")
        with self.client.get("/status/404", catch_response=True) as response:
            response.success()
        self.client.post("/status/503", data=b"x")
        self.client.get("/closes")
        self.client.get("/redirect")
        self.client.get("/varying", stream=True)
        try:
            with self.client.get("/ok", name="checked", catch_response=True) as response:
                raise KeyError("price")
        except KeyError:
            pass
        self.client.get("/unjudged", catch_response=True)
        self.client.get("/listeners", headers={{"X-Seen": str(len(SEEN))}})
"""


def script(tmp_path: Path, origin: Origin, text: str, user: str | None = None) -> Script:
    file = tmp_path / "shop.py"
    file.write_text(text)
    return Script(file=file, user=user, host=origin.url)


@pytest.mark.parametrize("user", ["HttpUser", "FastHttpUser"])
def test_a_locustfile_is_run_and_recorded(generator: LocustGenerator, origin: Origin, tmp_path: Path, user: str) -> None:
    samples = run(generator, script(tmp_path, origin, SHOP.format(user=user)), ClosedModel(1), count=20)
    rows = [(samples.tables.texts[samples["name"][i]], samples["status"][i], samples.error(i)) for i in range(len(samples))]

    assert rows[:10] == [
        ("page", 200, ""),
        ("/page", 200, "no stock"),
        ("/status/404", 404, ""),
        ("/status/503", 503, ""),
        ("/closes", 0, STALE_CONNECTION),
        ("/redirect", 200, ""),
        ("/varying", 200, ""),
        ("checked", 200, "KeyError: 'price'"),
        ("/unjudged", 200, "catch_response without a with block"),
        ("/listeners", 200, ""),
    ]
    assert list(samples["sequence"]) == list(range(len(samples)))
    assert samples["scheduled"] == samples["sent"]
    # Every request on the wire carries the number of its record; the redirect is two requests of one record.
    expected = [i for i in samples["sequence"] for _ in range(2 if rows[i][0] == "/redirect" else 1)]
    assert marks(origin) == expected
    assert origin.seen[0].headers["x-kind"] == "test"
    # The locustfile's own listener runs, and is spared our entry: an assertion in it would keep it from counting.
    assert next(seen for seen in origin.seen if seen.path == "/listeners").headers["x-seen"] == "7"


@pytest.mark.parametrize("user", ["HttpUser", "FastHttpUser"])
@pytest.mark.parametrize("path", ["/hang", "/trickle"])
def test_a_locustfile_gives_up_after_the_timeout(
    generator: LocustGenerator, origin: Origin, tmp_path: Path, user: str, path: str
) -> None:
    text = f"from locust import {user}, task\nclass U({user}):\n    @task\n    def t(self): self.client.get('{path}')\n"
    samples = run(generator, script(tmp_path, origin, text), ClosedModel(1), count=2, timeout=0.1)

    assert errors(samples).keys() == {TIMED_OUT}


USER = "from locust import FastHttpUser, task\nclass {name}(FastHttpUser):\n    @task\n    def t(self): self.client.get('/')\n"


@pytest.mark.parametrize(
    ("text", "user", "says"),
    [
        ("x = (", None, r"shop\.py:1: .* cannot be imported"),
        ("import os\nimport nowhere_to_be_found", None, r"shop\.py:2: ModuleNotFoundError"),
        ("raise SystemExit(3)", None, r"shop\.py:1: SystemExit: 3"),
        ("x = 1", None, r"shop\.py defines no user class"),
        (USER.format(name="A") + USER.format(name="B"), None, r"several user classes \(A, B\); choose one with user="),
        (USER.format(name="Shopper"), "Shoper", r'no user class "Shoper"; did you mean "Shopper"\?'),
        (
            USER.format(name="A") + "from locust import LoadTestShape\nclass Wave(LoadTestShape):\n"
            "    def tick(self): return None\n",
            "A",
            r"Wave is a LoadTestShape",
        ),
        ("from locust import FastHttpUser\nclass A(FastHttpUser): pass", None, r"A has no tasks"),
        ("from locust import User, task\nclass A(User):\n    @task\n    def t(self): pass", None, r"A is neither"),
        (
            USER.format(name="A") + "from locust import events\n@events.init_command_line_parser.add_listener\n"
            "def add(parser): parser.add_argument('--tenant', required=True)\n",
            None,
            r"command-line argument that is required",
        ),
    ],
)
def test_a_bad_locustfile_is_refused(
    generator: LocustGenerator, origin: Origin, tmp_path: Path, text: str, user: str | None, says: str
) -> None:
    with pytest.raises(InvalidValue, match=says):
        generator.start(plan(script(tmp_path, origin, text, user), ClosedModel(1)))

    assert origin.seen == []


def test_users_that_never_ask_fail_the_load(generator: LocustGenerator, origin: Origin, tmp_path: Path) -> None:
    text = USER.format(name="A") + "    def on_start(self): raise RuntimeError('no login')\n"
    with pytest.raises(LoadFailure, match="no login"):
        generator.start(plan(script(tmp_path, origin, text), ClosedModel(1)))


def test_users_that_leave_fail_the_load(generator: LocustGenerator, origin: Origin, tmp_path: Path) -> None:
    text = (
        "from locust import FastHttpUser, task\nfrom locust.exception import StopUser\nclass A(FastHttpUser):\n"
        "    @task\n    def t(self):\n        self.client.get('/ok')\n        raise StopUser\n"
    )
    flow = generator.start(plan(script(tmp_path, origin, text), ClosedModel(1)))
    with pytest.raises(LoadFailure, match="every user of class A has ended"):
        poll(flow.check, deadline=Deadline.after(PATIENCE))
    flow.stop()

    assert len(flow.samples()) == 1


# -- the process ------------------------------------------------------------------------------------------------------


def gone(pid: int) -> bool:
    """No process, or one that is dead and only waits for a parent to look."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def test_the_child_leads_a_session_and_ends_with_the_generator(tmp_path: Path) -> None:
    spawned: list[int] = []
    with closing(LocustGenerator(tmp_path, spawned=spawned.append)):
        (pid,) = spawned
        assert os.getsid(pid) == os.getpgid(pid) == pid

    assert gone(pid)


def test_a_locustfile_has_a_process_of_its_own(origin: Origin, tmp_path: Path) -> None:
    spawned: list[int] = []
    noted = tmp_path / "pid"
    with closing(LocustGenerator(tmp_path, spawned=spawned.append)) as generator:
        sleeper = f"import subprocess\nprint(subprocess.Popen(['sleep', '60']).pid, file=open({str(noted)!r}, 'w'))\n"
        flow = generator.start(plan(script(tmp_path, origin, sleeper + USER.format(name="A")), ClosedModel(1)))
        ours, theirs = spawned
        flow.stop()

        assert gone(theirs)
        assert not gone(ours)
        assert poll(lambda: gone(int(noted.read_text())), deadline=Deadline.after(PATIENCE))


def test_a_dead_child_is_told_with_its_last_lines(origin: Origin, tmp_path: Path) -> None:
    spawned: list[int] = []
    with closing(LocustGenerator(tmp_path, spawned=spawned.append)) as generator:
        flow = generator.start(plan(origin.requests("/ok"), ClosedModel(1)))
        until_ended(flow, 1)
        os.kill(spawned[0], signal.SIGKILL)

        with pytest.raises(LoadFailure, match=r"has ended; its log .*(?s:.*)All users spawned"):
            poll(flow.check, deadline=Deadline.after(PATIENCE))
        flow.stop()
        assert len(flow.samples()) >= 1

        # The next load gets a new process.
        again = run(generator, origin.requests("/ok"), count=1)
        assert errors(again).keys() == {""}


def test_a_load_that_cannot_be_written_down_fails(origin: Origin, tmp_path: Path) -> None:
    spawned: list[int] = []
    with closing(LocustGenerator(tmp_path, spawned=spawned.append)) as generator:
        flow = generator.start(plan(origin.requests("/ok"), OpenModel(100.0)))
        until_ended(flow, 1)
        resource.prlimit(spawned[0], resource.RLIMIT_FSIZE, (400, 400))

        with pytest.raises(LoadFailure, match="File too large"):
            poll(flow.check, deadline=Deadline.after(PATIENCE))
        flow.stop()


def test_an_interrupted_start_sends_nothing_on(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(LocustGenerator(tmp_path)) as generator:
        run(generator, origin.requests("/ok"), count=1)
        answer = Child.answer

        def interrupted(child: Child, flow: int, *kinds: str, deadline: Deadline) -> Message:
            if STARTED in kinds:
                raise KeyboardInterrupt
            return answer(child, flow, *kinds, deadline=deadline)

        monkeypatch.setattr(Child, "answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            generator.start(plan(origin.requests("/ok"), OpenModel(100.0)))
        stopped = generator._shared.answer(2, STOPPED, deadline=Deadline.after(PATIENCE))

    assert stopped["at"] < now()


def test_a_child_that_is_in_no_journal_is_ended(tmp_path: Path) -> None:
    spawned: list[int] = []

    def journal(pid: int) -> None:
        spawned.append(pid)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        LocustGenerator(tmp_path, spawned=journal)

    assert gone(spawned[0])


PARENT = """
import sys
from pathlib import Path
from chaos.clock import pause
from chaos.load.locust import LocustGenerator
from chaos.load.locust.child import Child
from chaos.load.locust.wire import STARTED, STOPPED, Message
from chaos.load.port import ClosedModel, LoadPlan, OpenModel, Requests, Script
from chaos.model.marks import Mark

folder, url = Path(sys.argv[1]), sys.argv[2]
generator = LocustGenerator(folder, spawned=lambda pid: print(pid, flush=True))
mark = Mark("0123456789ab", 1).flow(1)
generator.start(LoadPlan(what=Requests(url=url), model=OpenModel(20.0), timeout=5, mark=mark))
busy = Script(file=folder / "busy.py", user=None, host=url)
generator.start(LoadPlan(what=busy, model=ClosedModel(1), timeout=5, mark=mark))
print("sending", flush=True)
pause(60)
"""
BUSY = """
from locust import FastHttpUser, task

class A(FastHttpUser):
    @task
    def t(self):
        self.client.get("/ok")
        while True:
            pass
"""


def test_nothing_outlives_a_killed_parent(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(BUSY)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), origin.url],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}"},
    )
    with parent:
        assert parent.stdout is not None
        lines = [parent.stdout.readline().strip() for _ in range(3)]
        children = [int(line) for line in lines if line.isdigit()]
        parent.kill()

    assert lines[2] == "sending"
    assert len(children) == 2
    assert poll(lambda: all(map(gone, children)), deadline=Deadline.after(PATIENCE))


def test_a_child_that_cannot_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locust.py").write_text("raise RuntimeError('not the real one')")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with closing(LocustGenerator(tmp_path, env=env)) as generator, pytest.raises(LoadFailure, match="not the real one"):
        generator.start(plan(Requests(url="http://127.0.0.1:1/"), ClosedModel(1)))
