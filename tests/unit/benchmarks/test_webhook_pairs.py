"""The workload of channels that come and go: in which order clients act, and what its receiver counts."""

import re
from typing import cast

import orjson

from benchmarks.load import Client
from benchmarks.receiver import Received
from benchmarks.webhook_pairs import STAMP, Comings


class Wire:
    def __init__(self, log: list[tuple[int, str, str]], number: int) -> None:
        self._log, self._number = log, number

    def write(self, data: bytes) -> None:
        message = orjson.loads(data[data.index(b"{") :])
        self._log.append((self._number, message["event"], message["data"]["channel"]))


class FakeClient:
    socket_id = "1.1"
    on_bytes = None

    def __init__(self, log: list[tuple[int, str, str]], number: int) -> None:
        self.transport = Wire(log, number)


async def test_each_channel_is_joined_and_left_once_by_the_same_client() -> None:
    log: list[tuple[int, str, str]] = []
    await Comings([cast(Client, FakeClient(log, number)) for number in range(4)]).come(6, 100_000)
    joins = [(client, channel) for client, event, channel in log if event == "pusher:subscribe"]
    leaves = [(client, channel) for client, event, channel in log if event == "pusher:unsubscribe"]
    assert len({channel for _, channel in joins}) == 6
    assert [client for client, _ in joins] == [0, 1, 2, 3, 0, 1]
    assert leaves == joins
    assert [event.removeprefix("pusher:") for _, event, _ in log[2:6]] == ["unsubscribe", "subscribe"] * 2


def test_the_receiver_counts_events_by_name_and_takes_the_stamp_of_an_occupied_channel() -> None:
    received = Received(0, [b'"channel_occupied"', b'"channel_vacated"'], re.compile(STAMP))
    gone = b'{"name":"channel_vacated","channel":"t=1;"}'
    received.take(b'{"events":[%b]}' % gone)
    received.take(b'{"events":[%b,{"name":"channel_occupied","channel":"t=2;"}]}' % gone)
    assert (received.requests, received.events, len(received.latencies)) == (2, 3, 1)
