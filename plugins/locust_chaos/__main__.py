"""Start: import Locust before anything else, then obey.

python -m locust_chaos <file descriptor of the control socket> <pid of the test process>
"""

from __future__ import annotations

import sys

import locust  # noqa: F401 - first of all: it patches sockets and threads, and what is imported before keeps the old ones

from locust_chaos.control import main

main(control=int(sys.argv[1]), parent=int(sys.argv[2]))
