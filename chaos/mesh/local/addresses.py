"""At which addresses does the mesh listen? A block 127.M.0.0/16 that nobody else on the machine has, cut up by rule.

    127.M.n.1         sidecar of instance n: admin 15000, HTTP proxy 15001, and its container ports
    127.M.n.2         the application of instance n
    127.M.n.(10+k)    service k, as instance n calls it: a listener of n's own sidecar

The block is held by a bound socket, which every child inherits: it is free again when the last process of the mesh is
gone, however that came about. A lock file would not do: what must be exclusive are addresses, and two containers that share a
network do not share a /tmp (nor do two users).
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from chaos.errors import ManifestError, MeshFailure

ADMIN_PORT = 15000
PROXY_PORT = 15001
"""Where HTTP_PROXY points; on a cluster Istio's outbound listener has this number."""
_HELD_PORT = 14999
_FIRST_SERVICE = 10
MOST_INSTANCES = 254
MOST_SERVICES = 254 - _FIRST_SERVICE + 1
_SHIFT = 20_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Something to listen on."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def proto(self) -> dict[str, dict[str, str | int]]:
        """envoy.config.core.v3.Address"""
        return {"socket_address": {"address": self.address, "port_value": self.port}}


@dataclass(frozen=True, slots=True)
class Block:
    """One second octet's addresses. `lowest` is the first port that needs no privilege here."""

    octet: int
    lowest: int = 1024

    def sidecar(self, instance: int) -> str:
        return f"127.{self.octet}.{instance}.1"

    def application(self, instance: int) -> str:
        return f"127.{self.octet}.{instance}.2"

    def service(self, instance: int, service: int) -> str:
        return f"127.{self.octet}.{instance}.{_FIRST_SERVICE + service}"

    def bindable(self, port: int) -> int:
        """The port itself, or 20000 above it where it needs a privilege: addresses are ours to tell, so nobody has to know it."""
        return port if port >= self.lowest else port + _SHIFT

    def check_size(self, instances: int, services: int) -> None:
        """Raises ManifestError if there are more than the block has room for."""
        if instances > MOST_INSTANCES or services > MOST_SERVICES:
            raise ManifestError(
                f"{instances} instances and {services} services do not fit on the local mesh, which has room for "
                f"{MOST_INSTANCES} and {MOST_SERVICES}; lower the replicas, or name fewer files under local.manifests"
            )


class Held:
    """A block that is ours until `release`, and until the last child that inherited `fileno()` is gone."""

    def __init__(self, block: Block, holder: socket.socket) -> None:
        self.block = block
        self._holder = holder

    @classmethod
    def take(cls, octets: Iterable[int] = range(1, 255)) -> Held:
        """The first free block of `octets`. Raises MeshFailure if there is none, or if the machine has only 127.0.0.1."""
        lowest = unprivileged_port()
        for octet in octets:
            block = Block(octet, lowest)
            holder = socket.socket()
            try:
                holder.bind((block.sidecar(1), _HELD_PORT))
            except OSError as error:
                holder.close()
                if error.errno == errno.EADDRNOTAVAIL:
                    raise MeshFailure(_not_up([block.sidecar(1)])) from error
                if error.errno != errno.EADDRINUSE:
                    raise MeshFailure(f"cannot listen on {block.sidecar(1)}:{_HELD_PORT}: {error.strerror}") from error
                continue
            return cls(block, holder)
        raise MeshFailure(
            f"no free addresses: every block 127.1.0.0/16 to 127.254.0.0/16 is held, or port {_HELD_PORT} is in use everywhere"
            f"{_by(occupant(Endpoint('127.1.1.1', _HELD_PORT)))}; `istio-chaos sweep` ends what dead runs left"
        )

    def fileno(self) -> int:
        return self._holder.fileno()

    def release(self) -> None:
        self._holder.close()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def unprivileged_port() -> int:
    """The first port this process may listen on."""
    if os.geteuid() == 0:
        return 1
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


def check_free(endpoints: Iterable[Endpoint]) -> None:
    """Raises MeshFailure for the first that we could not listen on, with the process that has it where the system tells."""
    down: list[str] = []
    for endpoint in endpoints:
        with closing(socket.socket()) as probe:
            # As Envoy does: an address in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((endpoint.address, endpoint.port))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    down.append(endpoint.address)
                elif error.errno == errno.EADDRINUSE:
                    by = _by(occupant(endpoint))
                    raise MeshFailure(f"{endpoint} is in use{by}; end it, or let it listen on one address only") from error
                else:
                    raise MeshFailure(f"cannot listen on {endpoint}: {error.strerror}") from error
    if down:
        raise MeshFailure(_not_up(down))


def occupant(endpoint: Endpoint) -> str | None:
    """`envoy (pid 4711)`: who listens there, on this address or on all. None where the system does not tell: only Linux does."""
    inodes = {inode for table in ("tcp", "tcp6") for inode in _listening(Path("/proc/net") / table, endpoint)}
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(fd).removeprefix("socket:").strip("[]") in inodes for fd in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:  # another user's, or gone meanwhile
            continue
    return None


def _listening(table: Path, endpoint: Endpoint) -> Iterable[str]:
    """Inodes of the sockets that listen on the endpoint's port, on its address or on all (proc(5), /proc/net/tcp)."""
    octets = bytes(map(int, endpoint.address.split(".")))
    own = octets[::-1].hex().upper()
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        address, _, port = fields[1].rpartition(":")
        if fields[3] == "0A" and int(port, 16) == endpoint.port and (address.endswith(own) or not address.strip("0")):
            yield fields[9]


def _by(process: str | None) -> str:
    return f" by {process}" if process else ""


def _not_up(addresses: Iterable[str]) -> str:
    wanted = list(dict.fromkeys(addresses))
    others = f" and {len(wanted) - 1} more" if len(wanted) > 1 else ""
    return (
        f"the local mesh needs loopback addresses that are not up on this machine ({wanted[0]}{others}): "
        "only Linux has all of 127.0.0.0/8 from the start. Bring them up with\n"
        f"    for a in {' '.join(wanted)}; do sudo ifconfig lo0 alias $a up; done"
    )
