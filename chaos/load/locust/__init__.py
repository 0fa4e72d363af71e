"""The real load: Locust in a child process, behind the port of `chaos.load.port`.

`generator` starts flows in a `child`, tells it what to do in the words of `wire`, and reads what it saw (`files`,
`reading`); `schedule` is what both sides know beforehand. The other half runs inside Locust: `plugins/locust_chaos`.
"""

from __future__ import annotations

from chaos.load.locust.child import refuse_locust_in_process
from chaos.load.locust.generator import LocustGenerator

__all__ = ["LocustGenerator", "refuse_locust_in_process"]
