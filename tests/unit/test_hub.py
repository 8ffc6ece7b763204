"""Sockets, subscriptions, and the promises of the channel outbox."""

import pytest

from sockudo_py.hub import Encoding, Hub
from sockudo_py.hub.hub import FEW
from sockudo_py.hub.outbox import SLICE_BYTES
from sockudo_py.metrics import Metrics
from sockudo_py.ws.framing import text_frame
from tests.support.fake_loop import FakeLoop
from tests.support.sink import RecordingSink, in_a_list, make_app

APP = make_app()


class Bench:
    """A hub with a loop that is moved by hand."""

    def __init__(self, **bounds: int) -> None:
        self.loop = FakeLoop()
        self.metrics = Metrics()
        self.hub = Hub(self.loop.call_soon, self.metrics, **bounds)

    def sinks(self, number: int, *, on: str | None = None, encoding: Encoding = text_frame) -> list[RecordingSink]:
        made = []
        for _ in range(number):
            sink = RecordingSink(APP, f"1.{self.hub.connections() + 1}", encoding)
            self.hub.add("1", sink)
            if on is not None:
                self.hub.join("1", on, sink)
            made.append(sink)
        return made

    def publish(self, text: str, channel: str = "c", exclude: RecordingSink | None = None) -> None:
        self.hub.publish("1", channel, text.encode(), exclude)


def texts(sink: RecordingSink) -> list[str]:
    return [payload.decode() for payload in sink.payloads]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_messages_of_one_turn_are_written_together_and_once(bench: Bench) -> None:
    (sink,) = bench.sinks(1, on="c")
    bench.publish("a")
    bench.publish("b")
    assert sink.writes == []
    bench.loop.turn()
    assert sink.writes == [text_frame(b"a") + text_frame(b"b")]


def test_all_subscribers_get_the_same_bytes_object(bench: Bench) -> None:
    one, two = bench.sinks(2, on="c")
    bench.publish("a")
    bench.publish("b")
    bench.loop.turn()
    assert one.writes[0] is two.writes[0]


def test_one_turn_asks_for_one_flush_of_all_channels(bench: Bench) -> None:
    bench.sinks(1, on="c")
    bench.sinks(1, on="d")
    bench.publish("a", "c")
    bench.publish("b", "d")
    bench.publish("c", "c")
    assert len(bench.loop.soon) == 1


def test_a_channel_without_subscribers_costs_no_flush(bench: Bench) -> None:
    bench.sinks(1)
    bench.publish("a")
    assert bench.loop.soon == []
    assert bench.hub.backlog == 0


def test_the_channels_of_an_app_are_those_that_somebody_is_on(bench: Bench) -> None:
    assert "c" not in bench.hub.channels("1")
    one, two = bench.sinks(2, on="c")
    assert "c" in bench.hub.channels("1")
    assert "d" not in bench.hub.channels("1")
    assert "c" not in bench.hub.channels("2")
    bench.hub.leave("1", "c", one)
    assert "c" in bench.hub.channels("1")
    bench.hub.leave("1", "c", two)
    assert "c" not in bench.hub.channels("1")


def test_a_joiner_gets_nothing_that_was_published_before(bench: Bench) -> None:
    (early,) = bench.sinks(1, on="c")
    bench.publish("a")
    (late,) = bench.sinks(1, on="c")
    bench.publish("b")
    bench.loop.turn()
    assert texts(early) == ["a", "b"]
    assert texts(late) == ["b"]


def test_a_leaver_gets_what_was_published_before_at_once_and_nothing_more(bench: Bench) -> None:
    stays, leaves = bench.sinks(2, on="c")
    bench.publish("a")
    assert bench.hub.leave("1", "c", leaves)
    assert texts(leaves) == ["a"]
    bench.publish("b")
    bench.loop.turn()
    assert texts(leaves) == ["a"]
    assert texts(stays) == ["a", "b"]


def test_leaving_and_coming_back_within_a_turn_leaves_no_gap_and_no_double(bench: Bench) -> None:
    stays, hops = bench.sinks(2, on="c")
    bench.publish("a")
    bench.hub.leave("1", "c", hops)
    bench.publish("missed")
    bench.hub.join("1", "c", hops)
    bench.publish("b")
    bench.loop.turn()
    assert texts(hops) == ["a", "b"]
    assert texts(stays) == ["a", "missed", "b"]


def test_an_excluded_socket_misses_only_the_message_that_excludes_it(bench: Bench) -> None:
    sender, other = bench.sinks(2, on="c")
    bench.publish("a")
    bench.publish("its own", exclude=sender)
    bench.publish("b")
    bench.loop.turn()
    assert texts(sender) == ["a", "b"]
    assert texts(other) == ["a", "its own", "b"]


def test_an_excluded_socket_that_is_not_on_the_channel_changes_nothing(bench: Bench) -> None:
    (sink,) = bench.sinks(1, on="c")
    (stranger,) = bench.sinks(1)
    bench.publish("a", exclude=stranger)
    bench.loop.turn()
    assert texts(sink) == ["a"]
    assert stranger.writes == []


def test_a_sender_that_leaves_catches_up_without_its_own_message(bench: Bench) -> None:
    sender, _ = bench.sinks(2, on="c")
    bench.publish("a")
    bench.publish("its own", exclude=sender)
    bench.hub.leave("1", "c", sender)
    assert texts(sender) == ["a"]


def test_who_is_gone_is_not_written_to(bench: Bench) -> None:
    _, gone = bench.sinks(2, on="c")
    bench.publish("a")
    assert bench.hub.drop("1", "c", gone)
    bench.loop.turn()
    assert gone.writes == []


def test_who_is_about_to_be_closed_gets_everything_first(bench: Bench) -> None:
    sink, other = bench.sinks(2, on="c")
    bench.publish("a")
    bench.hub.catch_up("1", ["c", "unknown"], sink)
    assert texts(sink) == ["a"]
    bench.loop.turn()
    assert texts(sink) == ["a"]
    assert texts(other) == ["a"]


def test_large_channels_are_served_in_slices() -> None:
    bench = Bench(slice_size=2)
    sinks = bench.sinks(5, on="c")
    bench.publish("a")
    served = []
    while bench.loop.soon:
        bench.loop.turn()
        served.append(sum(bool(sink.writes) for sink in sinks))
    assert served == [2, 4, 5]


def test_slices_of_large_messages_have_fewer_writes() -> None:
    bench = Bench(slice_size=2)
    sinks = bench.sinks(3, on="c")
    bench.publish("x" * SLICE_BYTES)
    bench.loop.turn()
    assert sum(bool(sink.writes) for sink in sinks) == 1
    bench.loop.settle()
    assert [len(sink.writes) for sink in sinks] == [1, 1, 1]


def test_other_channels_get_their_turn_between_slices() -> None:
    bench = Bench(slice_size=2)
    bench.sinks(6, on="large")
    (small,) = bench.sinks(1, on="small")
    bench.publish("a", "large")
    bench.publish("b", "small")
    bench.loop.turn()
    bench.loop.turn()
    assert texts(small) == ["b"]


def test_what_work_leads_to_is_written_once_at_its_end(bench: Bench) -> None:
    (sink,) = bench.sinks(1, on="c")
    bench.hub.begin_work()
    bench.publish("a")
    bench.publish("b")
    assert sink.writes == []
    bench.hub.end_work()
    assert sink.writes == [text_frame(b"a") + text_frame(b"b")]
    assert bench.loop.soon == []


def test_what_the_work_of_one_message_leads_to_is_written_at_once(bench: Bench) -> None:
    sender, other = bench.sinks(2, on="c")
    bench.hub.begin_work(alone=True)
    bench.publish("a", exclude=sender)
    assert (texts(sender), texts(other)) == ([], ["a"])
    bench.hub.end_work()
    assert bench.loop.soon == []
    assert bench.hub.backlog == 0
    counters = bench.metrics.app("1")
    assert (counters.messages_sent, counters.sent_bytes) == (1, len(text_frame(b"a")))


def test_the_work_of_one_message_does_not_overtake_what_waits(bench: Bench) -> None:
    (sink,) = bench.sinks(1, on="c")
    bench.publish("a")
    bench.hub.begin_work(alone=True)
    bench.publish("b")
    assert sink.writes == []
    bench.hub.end_work()
    bench.loop.settle()
    assert texts(sink) == ["a", "b"]


def test_the_work_of_one_message_does_not_overtake_what_waits_on_another_small_channel(bench: Bench) -> None:
    (sink,) = bench.sinks(1, on="c")
    bench.hub.join("1", "d", sink)
    bench.publish("a", "c")
    bench.hub.begin_work(alone=True)
    bench.publish("b", "d")
    bench.hub.end_work()
    assert texts(sink) == ["a", "b"]


def test_the_work_of_one_message_waits_with_whom_a_replay_is_on_its_way_to(bench: Bench) -> None:
    (sink,) = bench.sinks(1, on="c")
    share = bench.hub.hold("1", "c", sink)
    assert share is not None
    bench.hub.begin_work(alone=True)
    bench.publish("b")
    bench.hub.end_work()
    assert sink.writes == []
    bench.hub.release("1", "c", sink, share, b"a")
    assert texts(sink) == ["a", "b"]


def test_after_the_work_of_one_message_the_next_are_gathered_again(bench: Bench) -> None:
    (sink,) = bench.sinks(1, on="c")
    bench.hub.begin_work(alone=True)
    bench.hub.end_work()
    bench.publish("a")
    assert sink.writes == []


def test_a_channel_with_many_subscribers_waits_for_the_end_of_the_turn(bench: Bench) -> None:
    sinks = bench.sinks(FEW + 1, on="c")
    for text in ("a", "b"):
        bench.hub.begin_work()
        bench.publish(text)
        bench.hub.end_work()
    assert sinks[0].writes == []
    bench.loop.turn()
    assert sinks[0].writes == [text_frame(b"a") + text_frame(b"b")]


def test_what_work_leads_to_overtakes_the_slices_of_a_large_channel() -> None:
    bench = Bench(slice_size=2)
    sinks = bench.sinks(6, on="large")
    (small,) = bench.sinks(1, on="small")
    bench.publish("a", "large")
    bench.loop.turn()
    bench.hub.begin_work()
    bench.publish("b", "small")
    bench.hub.end_work()
    assert texts(small) == ["b"]
    assert sum(bool(sink.writes) for sink in sinks) == 2


def test_work_that_leads_to_more_than_a_slice_goes_on_in_the_next_turn() -> None:
    bench = Bench(slice_size=2)
    sinks = [bench.sinks(1, on=f"c{number}")[0] for number in range(5)]
    bench.hub.begin_work()
    for number in range(5):
        bench.publish("a", f"c{number}")
    bench.hub.end_work()
    assert [len(sink.writes) for sink in sinks] == [1, 1, 0, 0, 0]
    bench.loop.settle()
    assert [len(sink.writes) for sink in sinks] == [1] * 5


def test_a_channel_that_came_to_have_many_subscribers_goes_on_in_the_next_turn() -> None:
    bench = Bench(slice_size=2)
    sinks = bench.sinks(2, on="c")
    bench.hub.begin_work()
    bench.publish("a")
    bench.sinks(3, on="c")
    bench.publish("b")
    bench.hub.end_work()
    bench.loop.settle()
    assert [texts(sink) for sink in sinks] == [["a", "b"]] * 2


def test_small_channels_do_not_keep_a_large_one_waiting() -> None:
    bench = Bench(slice_size=2)
    large = bench.sinks(6, on="large")
    bench.sinks(2, on="small")
    bench.publish("a", "large")
    while bench.loop.soon:
        bench.publish("b", "small")
        bench.loop.turn()
        if all(sink.writes for sink in large):
            return
    raise AssertionError("the large channel was not served")


def test_order_holds_when_messages_arrive_between_slices() -> None:
    bench = Bench(slice_size=2)
    sinks = bench.sinks(5, on="c")
    bench.publish("a")
    bench.loop.turn()
    bench.publish("b")
    bench.loop.settle()
    assert [texts(sink) for sink in sinks] == [["a", "b"]] * 5


def test_a_leaver_between_slices_is_served_once_and_in_order() -> None:
    bench = Bench(slice_size=2)
    sinks = bench.sinks(5, on="c")
    bench.publish("a")
    bench.loop.turn()
    bench.publish("b")
    for sink in sinks:
        bench.hub.leave("1", "c", sink)
    assert [texts(sink) for sink in sinks] == [["a", "b"]] * 5
    bench.loop.settle()
    assert [texts(sink) for sink in sinks] == [["a", "b"]] * 5


def test_who_is_gone_between_slices_is_not_written_to() -> None:
    bench = Bench(slice_size=2)
    sinks = bench.sinks(5, on="c")
    bench.publish("a")
    bench.loop.turn()
    late = [sink for sink in sinks if not sink.writes]
    for sink in late:
        bench.hub.drop("1", "c", sink)
    bench.loop.settle()
    assert [texts(sink) for sink in late] == [[]] * 3


def test_catching_up_between_slices_is_not_done_twice() -> None:
    bench = Bench(slice_size=2)
    sinks = bench.sinks(5, on="c")
    bench.publish("a")
    bench.loop.turn()
    for sink in sinks:
        bench.hub.catch_up("1", ["c"], sink)
    bench.loop.settle()
    assert [texts(sink) for sink in sinks] == [["a"]] * 5


def test_a_joiner_between_slices_gets_only_what_comes_after() -> None:
    bench = Bench(slice_size=2)
    bench.sinks(5, on="c")
    bench.publish("a")
    bench.loop.turn()
    (late,) = bench.sinks(1, on="c")
    bench.publish("b")
    bench.loop.settle()
    assert texts(late) == ["b"]


def test_a_write_is_bounded_but_carries_at_least_one_message() -> None:
    bench = Bench(flush_bytes=20)
    (sink,) = bench.sinks(1, on="c")
    for text in ("12345678", "12345678", "x" * 50, "y"):
        bench.publish(text)
    bench.loop.settle()
    assert [len(data) for data in sink.writes] == [20, 52, 3]


def test_bounded_writes_keep_exclusions_and_joins_in_place() -> None:
    bench = Bench(flush_bytes=20)
    (sink,) = bench.sinks(1, on="c")
    for text in ("message1", "message2", "message3"):
        bench.publish(text)
    late, later = bench.sinks(2, on="c")
    bench.publish("message4", exclude=late)
    bench.publish("message5", exclude=sink)
    bench.publish("message6")
    bench.loop.settle()
    assert texts(sink) == [f"message{number}" for number in (1, 2, 3, 4, 6)]
    assert texts(late) == ["message5", "message6"]
    assert texts(later) == ["message4", "message5", "message6"]


def test_a_full_outbox_is_written_on_the_spot() -> None:
    bench = Bench(backlog_bytes=25)
    (sink,) = bench.sinks(1, on="c")
    bench.publish("12345678")
    bench.publish("12345678")
    assert sink.writes == []
    bench.publish("12345678")
    assert texts(sink) == ["12345678"] * 3
    assert bench.hub.backlog == 0


def test_the_backlog_is_empty_after_the_last_subscriber_of_a_waiting_channel_left(bench: Bench) -> None:
    (sink,) = bench.sinks(1, on="c")
    bench.publish("a")
    assert bench.hub.backlog == 3
    bench.hub.drop("1", "c", sink)
    assert bench.hub.backlog == 0
    bench.loop.settle()
    assert sink.writes == []


def test_a_held_subscriber_gets_the_replay_before_everything_else(bench: Bench) -> None:
    (sink,) = bench.sinks(1, on="c")
    share = bench.hub.hold("1", "c", sink)
    assert share is not None
    bench.publish("a")
    bench.loop.turn()
    bench.publish("b")
    assert sink.writes == []
    bench.hub.release("1", "c", sink, share, b"replay")
    assert texts(sink) == ["replay", "a", "b"]
    bench.publish("c")
    bench.loop.turn()
    assert texts(sink) == ["replay", "a", "b", "c"]


def test_a_replay_that_came_as_a_live_event_too_goes_out_once(bench: Bench) -> None:
    (sink,) = bench.sinks(1, on="c")
    share = bench.hub.hold("1", "c", sink)
    assert share is not None
    bench.publish("a")
    bench.hub.release("1", "c", sink, share, b"a")
    bench.loop.turn()
    assert texts(sink) == ["a"]


def test_the_replay_of_a_subscription_that_ended_is_dropped(bench: Bench) -> None:
    (sink,) = bench.sinks(1, on="c")
    old = bench.hub.hold("1", "c", sink)
    assert old is not None
    bench.hub.leave("1", "c", sink)
    bench.hub.join("1", "c", sink)
    new = bench.hub.hold("1", "c", sink)
    assert new is not None
    bench.hub.release("1", "c", sink, old, b"old")
    assert sink.writes == []
    bench.hub.release("1", "c", sink, new, b"new")
    assert texts(sink) == ["new"]


def test_what_is_held_is_bounded_and_then_the_replay_is_out_of_date(bench: Bench) -> None:
    (sink,) = bench.sinks(1, on="c")
    share = bench.hub.hold("1", "c", sink)
    assert share is not None
    large = "x" * 600_000
    bench.publish(large)
    bench.loop.turn()
    assert sink.writes == []
    bench.publish(large)
    bench.loop.turn()
    assert texts(sink) == [large, large]
    bench.hub.release("1", "c", sink, share, b"replay")
    assert texts(sink) == [large, large]


def test_nobody_can_be_held_on_a_channel_that_it_is_not_on(bench: Bench) -> None:
    (sink,) = bench.sinks(1)
    assert bench.hub.hold("1", "c", sink) is None


def test_a_second_join_and_a_second_leave_change_nothing(bench: Bench) -> None:
    (sink,) = bench.sinks(1)
    assert bench.hub.join("1", "c", sink)
    assert not bench.hub.join("1", "c", sink)
    assert bench.metrics.app("1").subscriptions == 1
    assert bench.hub.leave("1", "c", sink)
    assert not bench.hub.leave("1", "c", sink)
    assert bench.metrics.app("1").subscriptions == 0


def test_gauges_count_sockets_subscriptions_and_channels_but_not_our_own_channels(bench: Bench) -> None:
    one, two = bench.sinks(2, on="c")
    bench.hub.join("1", "d", one)
    bench.hub.join("1", "#server-to-user-7", one)
    counters = bench.metrics.app("1")
    assert (counters.connections, counters.subscriptions, counters.channels) == (2, 3, 2)
    bench.hub.drop("1", "#server-to-user-7", one)
    bench.hub.drop("1", "d", one)
    bench.hub.drop("1", "c", one)
    bench.hub.remove("1", one)
    assert (counters.connections, counters.subscriptions, counters.channels) == (1, 1, 1)
    assert bench.hub.subscribers("1", "c") == [two]


def test_sent_messages_and_bytes_are_counted_per_subscriber(bench: Bench) -> None:
    sender, _, _ = bench.sinks(3, on="c")
    bench.publish("ab")
    bench.publish("cd", exclude=sender)
    bench.loop.turn()
    counters = bench.metrics.app("1")
    assert (counters.messages_sent, counters.sent_bytes) == (5, 20)


def test_a_socket_is_removed_once(bench: Bench) -> None:
    (sink,) = bench.sinks(1)
    assert bench.hub.has("1", sink)
    assert bench.hub.remove("1", sink)
    assert not bench.hub.remove("1", sink)
    assert not bench.hub.has("1", sink)
    assert bench.hub.connections() == bench.hub.connections("1") == 0


def test_apps_do_not_hear_each_other(bench: Bench) -> None:
    (sink,) = bench.sinks(1, on="c")
    other = RecordingSink(make_app("2"), "1.1")
    bench.hub.add("2", other)
    bench.hub.join("2", "c", other)
    bench.publish("a")
    bench.loop.turn()
    assert texts(sink) == ["a"]
    assert other.writes == []


def test_a_sink_that_breaks_its_promise_does_not_stop_the_flushes_of_others(bench: Bench) -> None:
    class Broken(RecordingSink):
        def write(self, frames: bytes) -> None:
            raise RuntimeError("a bug")

    broken = Broken(APP, "9.9")
    bench.hub.add("1", broken)
    bench.hub.join("1", "broken", broken)
    (sink,) = bench.sinks(1, on="c")
    bench.publish("a", "broken")
    bench.publish("b", "c")
    with pytest.raises(RuntimeError, match="a bug"):
        bench.loop.turn()
    bench.loop.turn()
    assert texts(sink) == ["b"]


def test_each_subscriber_gets_messages_in_the_encoding_of_its_transport(bench: Bench) -> None:
    (socket,) = bench.sinks(1, on="c")
    (other,) = bench.sinks(1, on="c", encoding=in_a_list)
    bench.publish("a")
    bench.publish("b")
    bench.loop.turn()
    assert socket.writes == [text_frame(b"a") + text_frame(b"b")]
    assert other.writes == [b'a["a"]\na["b"]\n']


def test_a_message_is_encoded_and_joined_once_for_all_who_share_an_encoding(bench: Bench) -> None:
    encoded: list[bytes] = []

    def counting(payload: bytes) -> bytes:
        encoded.append(payload)
        return in_a_list(payload)

    bench.sinks(2, on="c")
    one, two = bench.sinks(2, on="c", encoding=counting)
    bench.publish("a")
    bench.publish("b")
    bench.loop.turn()
    assert encoded == [b"a", b"b"]
    assert one.writes[0] is two.writes[0]


def test_an_encoding_that_no_subscriber_of_the_channel_has_costs_nothing(bench: Bench) -> None:
    encoded: list[bytes] = []

    def counting(payload: bytes) -> bytes:
        encoded.append(payload)
        return in_a_list(payload)

    bench.sinks(1, on="c")
    bench.sinks(1, on="d", encoding=counting)
    (gone,) = bench.sinks(1, on="c", encoding=counting)
    assert bench.hub.leave("1", "c", gone)
    bench.publish("a")
    bench.loop.turn()
    assert encoded == []


@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_channel_goes_when_the_last_of_all_encodings_leaves(bench: Bench, first: int) -> None:
    encodings = [text_frame, in_a_list, lambda payload: b"<" + payload + b">"]
    sinks = [bench.sinks(1, on="c", encoding=encoding)[0] for encoding in encodings]
    counters = bench.metrics.app("1")
    assert (counters.channels, counters.subscriptions) == (1, 3)
    assert bench.hub.subscribers("1", "c") == sinks
    order = sinks[first:] + sinks[:first]
    while order:
        assert set(bench.hub.subscribers("1", "c")) == set(order)
        assert "c" in bench.hub.channels("1")
        assert counters.channels == 1
        assert bench.hub.drop("1", "c", order.pop(0))
    assert "c" not in bench.hub.channels("1")
    assert (counters.channels, counters.subscriptions) == (0, 0)


def test_what_is_sent_is_counted_in_the_encoding_that_it_has(bench: Bench) -> None:
    bench.sinks(1, on="c")
    bench.sinks(1, on="c", encoding=in_a_list)
    bench.publish("a")
    bench.loop.turn()
    counters = bench.metrics.app("1")
    assert (counters.messages_sent, counters.sent_bytes) == (2, len(text_frame(b"a") + in_a_list(b"a")))


def test_the_sender_of_a_client_event_is_left_out_beside_another_encoding(bench: Bench) -> None:
    (socket,) = bench.sinks(1, on="c")
    (other,) = bench.sinks(1, on="c", encoding=in_a_list)
    bench.publish("a", exclude=other)
    bench.publish("b", exclude=socket)
    bench.loop.turn()
    assert (texts(socket), texts(other)) == (["a"], ["b"])


def test_the_work_of_one_message_reaches_every_encoding_at_once(bench: Bench) -> None:
    (socket,) = bench.sinks(1, on="c")
    (other,) = bench.sinks(1, on="c", encoding=in_a_list)
    bench.hub.begin_work(alone=True)
    bench.publish("a")
    assert (texts(socket), texts(other)) == (["a"], ["a"])
    bench.hub.end_work()
    assert bench.hub.backlog == 0
