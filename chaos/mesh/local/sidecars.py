"""One sidecar or gateway: its Envoy, what it was given, and what it wrote down.

`base` is the configuration without objects of ours, made once; `current` is what the proxy has, where that is known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos.clock import Deadline, poll
from chaos.envoy.configuration import Configuration
from chaos.errors import MeshFailure
from chaos.istio.world import Proxy
from chaos.mesh.local import bootstrap
from chaos.mesh.local.addresses import ADMIN_PORT, Endpoint
from chaos.mesh.local.admin import Admin
from chaos.mesh.local.instances import Instance
from chaos.mesh.local.processes import Child
from chaos.mesh.local.xds import CLUSTERS, CONFIRMED_WITHIN, LISTENERS, Subscription, Written, sources

_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
_NOTHING_TO_WATCH_WITH = "inotify_fd_ >= 0"
"""The assertion an Envoy dies of where no inotify instance is left (measured on 1.40)."""
FLUSHED_WITHIN = 5.0
"""Seconds in which a proxy must have written its log lines to the file; measured: 0.6 ms."""


@dataclass(slots=True, kw_only=True, eq=False)
class Sidecar:
    """The proxy of one instance. Its folder holds bootstrap.json, cds.json, lds.json, rds.NAME.json, access.log and envoy.log."""

    instance: Instance
    proxy: Proxy
    folder: Path
    base: Configuration
    current: Configuration | None
    """None while a change is under way, and after one that was cut short."""
    admin: Admin
    subscription: Subscription
    child: Child | None = None
    _first: list[Written] = field(default_factory=list)

    @classmethod
    def of(cls, instance: Instance, proxy: Proxy, base: Configuration, folder: Path) -> Sidecar:
        kind = "gateway" if instance.pod.is_gateway else "sidecar of"
        admin = Admin(f"{kind} {instance.pod.id}", Endpoint(instance.sidecar, ADMIN_PORT))
        subscription = Subscription(admin, folder, folder / "envoy.log")
        return cls(instance=instance, proxy=proxy, folder=folder, base=base, current=base, admin=admin, subscription=subscription)

    @property
    def access_log(self) -> Path:
        return self.folder / "access.log"

    @property
    def envoy_log(self) -> Path:
        return self.folder / "envoy.log"

    def write_first(self) -> Path:
        """Everything the Envoy starts with; the path of its bootstrap."""
        self._first = [self.subscription.write(source, resources) for source, resources in sources(self.base).items()]
        written = bootstrap.bootstrap(
            self.instance.pod,
            admin=self.admin.endpoint,
            clusters=self.subscription.path(CLUSTERS),
            listeners=self.subscription.path(LISTENERS),
        )
        file = self.folder / "bootstrap.json"
        file.write_text(json.dumps(written, indent=1))
        return file

    def confirm_first(self) -> None:
        """Raises MeshFailure if it refused what it was started with."""
        deadline = Deadline.after(CONFIRMED_WITHIN)
        for written in self._first:
            self.subscription.confirm(written, deadline)

    @property
    def dead(self) -> bool:
        """Its Envoy was started and is gone, and what it had with it."""
        return self.child is not None and self.child.exited() is not None

    def check(self) -> None:
        """Raises MeshFailure if its Envoy is gone, with the remedy where that was the limit on watched files."""
        if self.child is None:
            return
        try:
            self.child.check()
        except MeshFailure as failure:
            if _NOTHING_TO_WATCH_WITH not in self.envoy_log.read_text(errors="replace"):
                raise
            raise MeshFailure(
                f"{self.admin.proxy} cannot watch its configuration: this user has no inotify instance left, of {_limit()} that "
                "are allowed; every proxy takes three, a gateway one more for each further port. Allow more with "
                "`sudo sysctl fs.inotify.max_user_instances=1024`, end other programs that watch files, or lower the replicas"
            ) from failure

    # -- who is connected
    def listening(self) -> Iterator[Endpoint]:
        """Where it takes connections, the admin interface aside."""
        for listener in self.base.listeners:
            address = listener.get("address", {}).get("socket_address")
            if address:
                yield Endpoint(address["address"], address["port_value"])

    def connections(self) -> int:
        """That others have to it. Its own application's are not among them: those end with the application."""
        side = "OUTBOUND" if self.proxy.is_gateway else "INBOUND"
        ports = [li["address"]["socket_address"] for li in self.base.listeners if li.get("traffic_direction") == side]
        names = "|".join(re.escape(f"{port['address']}_{port['port_value']}") for port in ports)
        return sum(self.admin.gauges(rf"^listener\.({names})\.downstream_cx_active$").values()) if ports else 0

    # -- its log
    def read_log(self, offset: int) -> tuple[bytes, int]:
        with self.access_log.open("rb") as log:
            log.seek(offset)
            data = log.read()
        whole = data[: data.rfind(b"\n") + 1]
        return whole, offset + len(whole)

    def start_flush(self) -> None:
        self.admin.ask("/reopen_logs", "POST")

    def await_flush(self) -> None:
        """Until every line written so far is in the file. Raises MeshFailure if that takes longer than it ever should.

        Envoy logs a stream before its last byte leaves (measured), so whoever has seen the end of an answer finds its line here.
        Exact without traffic: nothing is buffered. With traffic the buffer is never empty for long: then until the file is as
        long as file and buffer were together at one moment, one at which no flush was under way.
        """
        goal: list[int] = []

        def flushed() -> bool:
            before = self._size()
            buffered = self.admin.gauge("filesystem.write_total_buffered")
            after = self._size()
            if not goal and before == after:
                goal.append(after + buffered)
            return buffered == 0 or (bool(goal) and after >= goal[0])

        if not poll(flushed, deadline=Deadline.after(FLUSHED_WITHIN), first=0.0002, most=0.01):
            raise MeshFailure(f"{self.admin.proxy} does not write its log lines to {self.access_log}; is the disk full?")

    def _size(self) -> int:
        return self.access_log.stat().st_size


def _limit() -> str:
    return _LIMIT.read_text().strip() if _LIMIT.exists() else "not known"
