"""Subscription counts: who is told, when, and how often."""

from itertools import pairwise

from sockudo_py.changes import SubscriptionCountChanged
from sockudo_py.node.counts import SubscriptionCounts
from sockudo_py.protocol.source import Source
from tests.support.fake_loop import FakeLoop
from tests.unit.node.kit import Bench, make_app

SOURCE = Source("1", "1.1")
EVENT = "pusher_internal:subscription_count"


def count(number: int) -> tuple[str, str]:
    return (EVENT, f'{{"subscription_count":{number}}}')


class Counted:
    """Counts that were passed on, with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.sent: list[int] = []
        self.counts = SubscriptionCounts(self._send, self.loop.call_later)

    def _send(self, app_id: str, channel: str, number: int, source: Source | None) -> None:
        self.sent.append(number)

    def changed(self, *numbers: int) -> None:
        for number in numbers:
            self.counts.changed("1", "c", number, SOURCE)


def test_counts_are_off_by_default() -> None:
    bench = Bench()
    client = bench.client()
    bench.subscribe(client, "c")
    bench.loop.settle()
    assert EVENT not in [event for event, _ in client.take()]


def test_every_subscriber_is_told_of_each_change_the_new_one_after_its_confirmation() -> None:
    bench = Bench(app=make_app(subscription_count=True))
    one, two = bench.client(), bench.client()
    bench.subscribe(one, "c")
    bench.subscribe(two, "c")
    bench.loop.settle()
    assert one.take()[1:] == [count(1), count(2)]
    assert two.take()[1:] == [count(2)]
    bench.unsubscribe(two, "c")
    bench.loop.settle()
    assert one.take() == [count(1)]
    assert two.take() == []
    assert [change for change in bench.changes if isinstance(change, SubscriptionCountChanged)] == [
        SubscriptionCountChanged("1", "c", 1),
        SubscriptionCountChanged("1", "c", 2),
        SubscriptionCountChanged("1", "c", 1),
    ]


def test_a_client_that_drops_out_is_counted_out() -> None:
    bench = Bench(app=make_app(subscription_count=True))
    one, two = bench.subscriber("c"), bench.subscriber("c")
    one.take()
    bench.node.disconnect(two)
    bench.loop.settle()
    assert one.take() == [count(1)]


def test_the_last_count_is_right_when_a_joiner_is_gone_before_the_answer() -> None:
    bench = Bench(app=make_app(subscription_count=True), slow_adapter=True)
    stays = bench.subscriber("c")
    goes = bench.client()
    bench.subscribe(goes, "c")
    bench.node.disconnect(goes)
    bench.adapter.answer()
    bench.loop.settle()
    assert stays.take() == [count(2), count(1)]


def test_presence_channels_have_no_counts() -> None:
    bench = Bench(app=make_app(subscription_count=True))
    client = bench.client()
    bench.subscribe(client, "presence-c", "1")
    bench.node.disconnect(client)
    assert not [change for change in bench.changes if isinstance(change, SubscriptionCountChanged)]


def test_up_to_100_every_count_goes_out() -> None:
    counted = Counted()
    counted.changed(98, 99, 100)
    assert counted.sent == [98, 99, 100]


def test_above_100_the_last_of_5_seconds_goes_out_at_their_end() -> None:
    counted = Counted()
    counted.changed(101, 102, 103)
    assert counted.sent == [101]
    counted.loop.advance(4.9)
    assert counted.sent == [101]
    counted.loop.advance(0.1)
    assert counted.sent == [101, 103]


def test_above_100_no_two_counts_are_closer_than_5_seconds() -> None:
    counted = Counted()
    times: list[float] = []
    counts = SubscriptionCounts(lambda *_: times.append(counted.loop.now), counted.loop.call_later)
    for number in range(200):
        counts.changed("1", "c", 101 + number % 3, SOURCE)
        counted.loop.advance(0.3)
    assert min(later - earlier for earlier, later in pairwise(times)) >= 5.0
    assert len(times) == 12


def test_after_5_quiet_seconds_the_next_count_goes_out_at_once() -> None:
    counted = Counted()
    counted.changed(150)
    counted.loop.advance(5.0)
    assert counted.sent == [150]
    counted.changed(151)
    assert counted.sent == [150, 151]


def test_a_fall_to_100_goes_out_at_once_and_replaces_what_waited() -> None:
    counted = Counted()
    counted.changed(102, 101, 100)
    counted.loop.advance(20.0)
    assert counted.sent == [102, 100]


def test_channels_are_throttled_each_on_its_own() -> None:
    counted = Counted()
    counted.counts.changed("1", "c", 101, SOURCE)
    counted.counts.changed("1", "d", 102, SOURCE)
    counted.counts.changed("2", "c", 103, SOURCE)
    assert counted.sent == [101, 102, 103]


def test_a_quiet_channel_leaves_no_timer_behind() -> None:
    counted = Counted()
    counted.changed(101)
    counted.loop.advance(5.0)
    assert counted.loop.timers == []
