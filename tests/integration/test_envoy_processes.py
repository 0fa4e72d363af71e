"""What does the local mesh rely on in Envoy itself? Addresses that are not shared in silence, and log lines that come when asked."""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from chaos.clock import Deadline, poll
from chaos.mesh.local.addresses import Endpoint
from tests.envoys import envoys

PATIENCE = 10.0


def test_two_envoys_share_an_address_in_silence_unless_they_are_told_not_to(tmp_path: Path) -> None:
    with envoys(tmp_path) as started:
        for _, admin in (started.start(), started.start()):
            assert poll(admin.ready, deadline=Deadline.after(PATIENCE))
        third, _ = started.start(enable_reuse_port=False)

        assert poll(lambda: third.exited() is not None, deadline=Deadline.after(PATIENCE))
        assert third.exited() == 1
        assert "Address already in use" in third.log.read_text()


def test_a_log_line_waits_for_its_flush_or_for_the_asking(tmp_path: Path) -> None:
    with envoys(tmp_path) as started:
        _, admin = started.start()

        def logged(path: str) -> bool:
            return f"GET {path} " in started.access_log(1).read_text()

        assert poll(admin.ready, deadline=Deadline.after(PATIENCE))
        get(started.listening, "/first")
        # The thread that writes the log begins with a flush.
        assert poll(lambda: logged("/first"), deadline=Deadline.after(PATIENCE))
        get(started.listening, "/second")
        before = logged("/second")
        admin.ask("/reopen_logs", "POST")

        assert not before
        assert poll(lambda: logged("/second"), deadline=Deadline.after(PATIENCE))


def get(where: Endpoint, path: str) -> None:
    with closing(HTTPConnection(where.address, where.port, timeout=PATIENCE)) as connection:
        connection.request("GET", path)
        assert connection.getresponse().status == 204
