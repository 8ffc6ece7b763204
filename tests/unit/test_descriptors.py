"""Who may take the last file descriptors."""

import errno
import logging
import os
import resource
import socket
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from sockudo_py.errors import SockudoError
from sockudo_py.metrics import Metrics
from sockudo_py.process import descriptors as descriptors_module
from sockudo_py.process.descriptors import LEAST, Descriptors, is_shortage, lowest_free, raise_limit

SHORT = OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@dataclass
class Bench:
    limit: int = 1024
    deliveries: int = 80
    now: float = 0.0
    free: int = 30
    metrics: Metrics = field(default_factory=Metrics)

    def make(self) -> Descriptors:
        return Descriptors(
            self.limit,
            deliveries=self.deliveries,
            metrics=self.metrics,
            clock=lambda: self.now,
            lowest_free=lambda: self.free,
        )

    @property
    def counted(self) -> dict[tuple[str, ...], float]:
        return self.metrics.series["out_of_descriptors_total"].values


def admits(descriptors: Descriptors, *, room: bool = False) -> bool:
    return descriptors.admits(lambda: room)


@pytest.mark.parametrize("limit", [LEAST, 256, 1024, 4096, 65_536, 1 << 20])
def test_clients_then_connections_then_scrapes_have_their_shares_and_the_server_has_one_of_its_own(limit: int) -> None:
    descriptors = Bench(limit=limit).make()
    assert 0 < descriptors.clients < descriptors.connections < descriptors.scrapes < limit
    assert descriptors.connections >= limit // 2


def test_what_is_kept_for_the_server_grows_with_the_deliveries_but_not_beyond_one_half() -> None:
    few, many, too_many = (Bench(deliveries=number).make() for number in (8, 80, 8000))
    assert few.connections > many.connections > too_many.connections == 512
    assert (few.suffices, many.suffices, too_many.suffices) == (True, True, False)


def test_a_limit_that_leaves_no_room_ends_the_start_with_a_remedy() -> None:
    with pytest.raises(SockudoError, match=r"the limit of open files is 127, at least 128 are needed; .*ulimit -n"):
        Bench(limit=LEAST - 1).make()


def test_a_connection_whose_number_is_too_high_may_not_stay() -> None:
    bench = Bench()
    descriptors = bench.make()
    bench.free = descriptors.connections
    assert admits(descriptors)
    bench.free += 1
    assert not admits(descriptors)
    assert bench.counted == {("connection",): 1}


def test_it_may_stay_where_another_one_goes_but_not_far_beyond_the_last() -> None:
    bench = Bench()
    descriptors = bench.make()
    bench.free = descriptors.connections + 16
    assert admits(descriptors, room=True)
    bench.free += 1
    assert not admits(descriptors, room=True)


def test_nobody_has_to_go_while_there_is_room() -> None:
    assert Bench().make().admits(lambda: pytest.fail("somebody was sent away"))


def test_the_metrics_port_takes_connections_where_clients_are_refused() -> None:
    bench = Bench()
    descriptors = bench.make()
    bench.free = descriptors.scrapes - 1
    assert not admits(descriptors)
    assert descriptors.admits_scrape()
    bench.free += 1
    assert not descriptors.admits_scrape()


def test_the_lowest_number_that_is_free_is_the_one_that_the_next_descriptor_gets() -> None:
    expected = lowest_free()
    with socket.socket() as sock:
        assert sock.fileno() == expected
        assert lowest_free() != expected


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_without_any_free_descriptor_the_lowest_number_is_beyond_every_limit(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(_: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "dup", fail)
    assert lowest_free() > 1 << 40


def test_the_lowest_number_is_found_with_standard_error_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = lowest_free()
    monkeypatch.setattr(descriptors_module, "_OPEN", 1 << 20)  # no such descriptor
    assert lowest_free() == expected


def test_a_shortage_is_told_once_a_minute_and_counted_every_time(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    descriptors = bench.make()
    for bench.now in (0.0, 1.0, 59.0, 60.5, 61.0):
        descriptors.short("connection")
    assert bench.counted == {("connection",): 5}
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "The limit is 1024 open files" in caplog.text
    assert "ulimit -n" in caplog.text
    assert "LimitNOFILE" in caplog.text


@pytest.mark.parametrize(
    ("problem", "short"),
    [
        (SHORT, True),
        (OSError(errno.ENFILE, "file table overflow"), True),
        (ImportError(f"lib.so: cannot open shared object file: {os.strerror(errno.EMFILE)}"), True),
        (ImportError("no such symbol"), False),
        (OSError(errno.ECONNREFUSED, "refused"), False),
        (ValueError("Too many open files"), False),
    ],
)
def test_a_shortage_is_told_from_other_problems(problem: BaseException, short: bool) -> None:
    assert is_shortage(problem) is short


RAISED = """
import resource
from sockudo_py.process.descriptors import open_limit, raise_limit
raise_limit()
print(open_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    command = ["sh", "-c", 'ulimit -Sn 256; ulimit -Hn 512; exec "$@"', "sh", sys.executable, "-c", RAISED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["512", "512", "512"]


def test_a_limit_that_can_not_be_raised_stays_and_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    raise_limit()
    assert "can't raise the limit of open files from 256" in caplog.text
