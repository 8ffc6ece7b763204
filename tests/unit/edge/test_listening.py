import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from sockudo_py.edge.sockets import listening
from sockudo_py.edge.sockets.listening import bind


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@contextmanager
def closed(sockets: list[socket.socket]) -> Iterator[list[socket.socket]]:
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name lead to these addresses."""

    async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET6, 1, 6, "", (address, 0, 0, 0))
            if ":" in address
            else (socket.AF_INET, 1, 6, "", (address, 0))
            for address in addresses
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


@ipv6
async def test_two_colons_are_every_address_of_both_families_on_one_port() -> None:
    with closed(await bind("::", 0)) as sockets:
        port = sockets[0].getsockname()[1]
        assert [each.getsockname()[:2] for each in sockets] == [("::", port), ("0.0.0.0", port)]
        for each in sockets:
            each.listen()
        for address in ("127.0.0.1", "::1"):
            with closing(socket.create_connection((address, port), timeout=5)):
                pass


@ipv6
async def test_a_name_with_two_families_has_both(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "::1", "127.0.0.1")
    with closed(await bind("localhost", 0)) as sockets:
        assert {each.getsockname()[0] for each in sockets} == {"::1", "127.0.0.1"}
        assert len({each.getsockname()[1] for each in sockets}) == 1


async def test_an_address_of_a_name_that_the_machine_does_not_have_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers(monkeypatch, "192.0.2.1", "127.0.0.1")
    with caplog.at_level(logging.WARNING), closed(await bind("here", 0)) as sockets:
        assert [each.getsockname()[0] for each in sockets] == ["127.0.0.1"]
    assert caplog.messages == ["here: this machine does not have the address 192.0.2.1 of it"]


@pytest.mark.parametrize("host", ["192.0.2.1"])
async def test_an_address_that_the_machine_does_not_have_is_refused(host: str) -> None:
    with pytest.raises(OSError, match=str(errno.EADDRNOTAVAIL)):
        await bind(host, 0)


async def test_a_port_in_use_is_refused_and_nothing_stays_bound() -> None:
    with closed(await bind("127.0.0.1", 0)) as (taken,):
        taken.listen()
        with pytest.raises(OSError, match=str(errno.EADDRINUSE)):
            await bind("127.0.0.1", taken.getsockname()[1])


async def test_a_free_port_is_looked_for_again_when_it_is_not_free_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "127.0.0.1", "127.0.0.2")
    real, calls = listening._bind, list[str]()

    def first_unlucky(family: Any, address: str, *rest: Any) -> socket.socket:
        calls.append(address)
        if len(calls) == 2:
            raise OSError(errno.EADDRINUSE, "in use")
        return real(family, address, *rest)

    monkeypatch.setattr(listening, "_bind", first_unlucky)
    with closed(await bind("both", 0)) as sockets:
        assert calls == ["127.0.0.1", "127.0.0.2"] * 2
        assert len({each.getsockname()[1] for each in sockets}) == 1


@pytest.mark.parametrize(
    ("host", "text"), [("::", "[::]:6001"), ("0.0.0.0", "0.0.0.0:6001"), ("a.example", "a.example:6001")]
)
def test_an_address_of_ipv6_is_shown_in_brackets(host: str, text: str) -> None:
    assert listening.shown(host, 6001) == text


async def test_an_address_of_ipv4_within_ipv6_is_listened_on_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "::ffff:127.0.0.1", "127.0.0.1")
    with closed(await bind("::ffff:127.0.0.1", 0)) as sockets:
        assert [each.getsockname()[0] for each in sockets] == ["127.0.0.1"]
