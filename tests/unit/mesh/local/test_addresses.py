"""Do a mesh's addresses follow their rule, and does nobody get an address that somebody has?"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from chaos.errors import ManifestError, MeshFailure
from chaos.mesh.local.addresses import Block, Endpoint, Held, check_free, occupant


def test_every_party_has_an_address_of_its_own() -> None:
    block = Block(7)

    assert block.sidecar(3) == "127.7.3.1"
    assert block.application(3) == "127.7.3.2"
    assert [block.service(3, k) for k in (0, 1, 244)] == ["127.7.3.10", "127.7.3.11", "127.7.3.254"]


@pytest.mark.parametrize(("port", "lowest", "bound"), [(80, 1024, 20080), (1024, 1024, 1024), (80, 1, 80), (9080, 1024, 9080)])
def test_a_port_that_needs_a_privilege_is_moved(port: int, lowest: int, bound: int) -> None:
    assert Block(1, lowest).bindable(port) == bound


@pytest.mark.parametrize(("instances", "services"), [(255, 1), (1, 246)])
def test_a_mesh_that_does_not_fit_is_refused_with_the_remedy(instances: int, services: int) -> None:
    Block(1).check_size(254, 245)
    with pytest.raises(ManifestError, match="room for 254 and 245; lower the replicas"):
        Block(1).check_size(instances, services)


def test_a_block_belongs_to_one_holder_until_its_last_child_is_gone() -> None:
    octets = (253, 252, 251)  # no mesh of this machine gets that far
    with Held.take(octets) as first, Held.take(octets) as second:
        assert (first.block.octet, second.block.octet) == (253, 252)
        # What a child does: it inherits the descriptor, and keeps the block when its parent has let go.
        with closing(socket.socket(fileno=os.dup(first.fileno()))):
            first.release()
            with Held.take(octets) as third:
                assert third.block.octet == 251
        with Held.take(octets) as fourth:
            assert fourth.block.octet == 253


def test_without_a_free_block_the_error_says_so() -> None:
    with Held.take([250]), pytest.raises(MeshFailure, match=r"no free addresses: .*istio-chaos sweep"):
        Held.take([250])


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with closing(socket.socket()) as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        yield listener


def test_an_address_in_use_is_named_with_its_process(listening: socket.socket) -> None:
    taken = Endpoint("127.9.9.9", listening.getsockname()[1])

    assert occupant(taken) is not None
    with pytest.raises(MeshFailure, match=rf"127\.9\.9\.9:{taken.port} is in use by .+ \(pid {os.getpid()}\); end it"):
        check_free([taken])


def test_addresses_that_are_not_up_are_named_with_the_command_that_brings_them_up() -> None:
    with pytest.raises(
        MeshFailure,
        match=r"\(198\.51\.100\.1 and 1 more\)[^\n]*\n    for a in 198\.51\.100\.1 198\.51\.100\.2; do sudo ifconfig lo0 alias",
    ):
        check_free([Endpoint("198.51.100.1", 9), Endpoint("198.51.100.2", 9), Endpoint("198.51.100.2", 10)])
