"""A greenlet that waits for a moment is never early, and lets others run meanwhile; with and without the kernel's timer.

In a process of its own: gevent's event loop stays out of the one that runs the tests.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
import gevent
from chaos.clock import now
from locust_chaos import waking

if sys.argv[1] == "without":
    waking.sys = type("elsewhere", (), {"platform": "elsewhere"})
waker = waking.Waker()
others = []
other = gevent.spawn(lambda: [others.append(gevent.sleep(0.001)) for _ in range(5)])
woken = []
for _ in range(20):
    at = now() + 2_300_000
    waker.wait_until(at)
    woken.append(now() - at)
waker.wait_until(now() - 1)
timer = waker._timer
waker.close()
waker.close()
print(json.dumps({"woken": woken, "others": len(others), "timer": timer}))
"""


@pytest.mark.parametrize("timer", ["with", "without"])
def test_a_moment_is_waited_for(timer: str) -> None:
    paths = [path for path in sys.path if path]
    child = subprocess.run(
        [sys.executable, "-c", SCRIPT, timer], env={"PYTHONPATH": ":".join(paths)}, capture_output=True, text=True, timeout=60
    )

    assert child.returncode == 0, child.stderr
    told = json.loads(child.stdout)
    assert min(told["woken"]) >= 0
    assert told["others"] == 5
    assert (told["timer"] >= 0) is (timer == "with")
