"""F01 to F14, F19, F20: receivers that are slow, rude, wrong or gone, under the whole delivery."""

import gzip
import time
from email.utils import formatdate

import pytest

from sockudo_py.endpoints import Batching, RetryPolicy
from sockudo_py.webhooks.endpoints.guard import AddressGuard
from sockudo_py.webhooks.targets.http.target import HttpTarget
from tests.faults.harness import (
    QUICK,
    Clock,
    Stage,
    assert_duplicates_alike,
    assert_nothing_lost,
    error_class,
    staged,
    until,
)
from tests.support.receiver import OK, Answer, Behaviour, Hang, Raw, Receiver, Reset

SCHEDULE = [1.0, 2.0, 4.0, 8.0, 16.0]


async def exhaust(stage: Stage, count: int) -> None:
    """Let ``count`` attempts of one delivery happen, and look that none comes a moment too early."""
    for number in range(1, count):
        last = (await stage.attempted(number))[number - 1]
        assert last.retry_in is not None
        await stage.pass_time(last.retry_in - 0.01)
        assert await stage.queue.claim("somebody", 10, 30) == []
        assert (await stage.queue.depths()).delayed == 1
        await stage.pass_time(0.02)
    await stage.attempted(count)


async def outcome(behaviour: Behaviour, **fields: object) -> str:
    """Return the error class of one delivery to a receiver that does this, "" when it was delivered."""
    async with staged({"retry": RetryPolicy(schedule=()), **fields}) as stage:
        stage.receiver.default = behaviour
        stage.send(1)
        (attempt,) = await stage.attempted(1)
        return error_class(attempt)


@pytest.mark.slow
async def test_F01_an_answer_after_9_9_seconds_counts_and_one_after_10_1_does_not() -> None:
    for _ in range(3):  # an answer that this machine brought late itself says nothing; an early timeout shows each time
        async with staged({"path": "/in-time"}, {"path": "/too-late"}) as stage:
            stage.receiver.script(Answer(delay=9.9), path="/in-time")
            stage.receiver.script(Answer(delay=10.1), path="/too-late")
            stage.send(1)
            ended = {one.job.endpoint: one for one in await stage.attempted(2)}
        late = ended["wh_2"]
        assert (error_class(late), late.retry_in) == ("timeout_read", 1.0)
        if error_class(ended["wh_1"]) == "":
            return
    pytest.fail("an answer within the timeout did not count, three times")


async def test_F02_a_receiver_that_hangs_after_accept_costs_six_timeouts_on_schedule() -> None:
    clock = Clock()
    async with staged({"request_timeout": 0.3}, clock=clock) as stage:
        stage.receiver.default = Hang()
        stage.send(1)
        await exhaust(stage, 6)
        assert [error_class(one) for one in stage.attempts] == ["timeout_read"] * 6
        assert [one.retry_in for one in stage.attempts] == [*SCHEDULE, None]
        assert all(0.3 <= one.duration < 9 for one in stage.attempts)
        await stage.settled()
        (dead,) = await stage.dead()
        assert dead["error"]["class"] == "timeout_read"
        assert_duplicates_alike(stage.receiver.received)


@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x" * 4000, "timeout_read"),  # no complete head before the timeout
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4000, ""),  # the status came: it was taken
    ],
)
async def test_F03_an_answer_byte_by_byte_is_cut_off_by_the_total_timeout(
    head: bytes, body: bytes, expected: str
) -> None:
    started = time.monotonic()
    assert await outcome(Raw(head + body, pause=0.005), request_timeout=1.5) == expected
    assert time.monotonic() - started < 15


async def test_F04_a_reset_after_the_request_is_retried_with_the_same_id() -> None:
    async with staged({"retry": QUICK}) as stage:
        stage.receiver.script(Reset(), Reset())
        stage.send(1)
        await stage.attempted(3)
        assert [error_class(one) for one in stage.attempts] == ["reset", "reset", ""]
        assert len(stage.receiver.received) == 3
        assert_duplicates_alike(stage.receiver.received)


async def test_F05_a_keep_alive_connection_that_closes_under_a_request_costs_an_attempt_and_no_event() -> None:
    async with staged({"retry": QUICK}) as stage:
        stage.receiver.script(
            OK, Raw(b"")
        )  # the second request was written: it may have been read, so no silent repeat
        stage.send(1)
        await stage.attempted(1)
        stage.send(2)
        await stage.attempted(3)
        assert [error_class(one) for one in stage.attempts] == ["", "reset", ""]
        assert stage.receiver.connections == 2
        assert_nothing_lost({1, 2}, stage.receiver.received)
        assert_duplicates_alike(stage.receiver.received)


async def test_F05_a_keep_alive_connection_that_closed_while_idle_costs_no_attempt() -> None:
    target = HttpTarget(guard=AddressGuard(), trusted_guard=AddressGuard(allow_private=True))
    async with staged(sender=target) as stage:
        stage.receiver.script(Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))  # keeps alive, it says; then closes
        stage.send(1)
        await stage.attempted(1)
        await stage.settled()
        await until(lambda: stage.receiver.open == target.connections == 0, "the close to be seen by both")
        stage.send(2)
        await stage.attempted(2)
        assert [(error_class(one), one.number) for one in stage.attempts] == [("", 1), ("", 1)]


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH\r\n\r\n", b"\x16\x03\x01\x00\xff" * 20, b"HTTP/9.9 x\r\n\r\n"])
async def test_F06_garbage_instead_of_http_is_a_protocol_error_and_retried(garbage: bytes) -> None:
    async with staged({"retry": QUICK}) as stage:
        stage.receiver.script(Raw(garbage))
        stage.send(1)
        await stage.attempted(2)
        assert [error_class(one) for one in stage.attempts] == ["protocol", ""]


async def test_F07_an_endless_answer_is_read_for_four_kilobytes_and_delivered() -> None:
    async with staged() as stage:
        stage.receiver.default = Answer(huge=1 << 30)
        stage.send(1)
        (attempt,) = await stage.attempted(1)
        assert error_class(attempt) == ""
        assert len(attempt.outcome.response_body) == 4096
        assert stage.receiver.huge_sent < 1 << 26


async def test_F08_a_gzip_bomb_is_not_inflated() -> None:
    bomb = gzip.compress(bytes(1 << 26))
    async with staged() as stage:
        stage.receiver.default = Answer(body=bomb, headers=(("Content-Encoding", "gzip"),))
        stage.send(1)
        (attempt,) = await stage.attempted(1)
        assert error_class(attempt) == ""
        assert attempt.outcome.response_body == bomb[:4096]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_F09_a_redirect_is_a_failure_and_goes_nowhere(status: int) -> None:
    async with Receiver() as elsewhere, staged({"retry": QUICK}) as stage:
        places = (
            stage.receiver.url(),
            "http://169.254.169.254/latest",
            elsewhere.url(),
        )  # a loop, the cloud, a stranger
        stage.receiver.script(*(Answer(status, headers=(("Location", place),)) for place in places))
        stage.send(1)
        await stage.attempted(4)
        assert [error_class(one) for one in stage.attempts] == ["redirect"] * 3 + [""]
        assert elsewhere.connections == 0
        assert all(got.request_line.startswith(b"POST ") for got in stage.receiver.received)
        assert len(stage.receiver.received) == 4


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_F10_every_2xx_is_a_success(status: int) -> None:
    assert await outcome(Answer(status)) == ""


@pytest.mark.parametrize("status", [300, 304])
async def test_F10_the_next_numbers_are_not(status: int) -> None:
    assert await outcome(Answer(status)) == "redirect"


async def test_F10_a_199_is_informational_by_its_number_and_a_final_answer_has_to_follow() -> None:
    assert await outcome(Answer(199), request_timeout=1.0) == "timeout_read"


@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_F11_a_4xx_is_retried_five_times_by_default(status: int) -> None:
    clock = Clock()
    async with staged(clock=clock) as stage:
        stage.receiver.default = Answer(status)
        stage.send(1)
        await exhaust(stage, 6)
        await stage.settled()
        (dead,) = await stage.dead()
        assert dead["error"] == {"class": "http_4xx", "status": status, "message": f"the endpoint answered {status}"}
        assert [one.retry_in for one in stage.attempts] == [*SCHEDULE, None]


@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_F11_where_only_5xx_is_retried_a_4xx_is_dead_at_once(status: int) -> None:
    async with staged({"retry": RetryPolicy(schedule=(1.0, 5.0, 25.0), retry_on="5xx")}) as stage:
        stage.receiver.default = Answer(status)
        stage.send(1)
        await stage.attempted(1)
        await stage.settled()
        (dead,) = await stage.dead()
        assert (dead["attempt"], dead["error"]["status"]) == (1, status)


async def test_F12_a_410_is_a_dead_letter_and_by_itself_disables_nothing() -> None:
    async with staged({"retry": RetryPolicy(schedule=())}) as stage:
        stage.receiver.script(Answer(410))
        stage.send(1)
        await stage.attempted(1)
        await stage.settled()
        (dead,) = await stage.dead()
        assert dead["error"]["status"] == 410
        stage.send(2)
        await stage.attempted(2)
        assert error_class(stage.attempts[1]) == ""


@pytest.mark.parametrize(
    ("value", "waits"),  # a number of seconds with a sign: the HTTP date of then
    [
        ("7", (7.0, 7.0)),
        ("+30", (20.0, 30.0)),
        ("soon, please", (1.0, 1.0)),
        ("-5", (1.0, 1.0)),
        (str(10 * 365 * 86400), (3600.0, 3600.0)),
        ("+315360000", (3600.0, 3600.0)),
    ],
)
async def test_F13_retry_after_lengthens_the_wait_up_to_an_hour(value: str, waits: tuple[float, float]) -> None:
    if value.startswith("+"):
        value = formatdate(time.time() + int(value), usegmt=True)
    async with staged() as stage:
        stage.receiver.default = Answer(429, headers=(("Retry-After", value),))
        stage.send(1)
        (attempt,) = await stage.attempted(1)
        assert attempt.retry_in is not None
        assert waits[0] <= attempt.retry_in <= waits[1]


async def test_F14_three_500_and_a_200_are_four_attempts_on_schedule_and_one_delivery() -> None:
    clock = Clock()
    async with staged(clock=clock) as stage:
        stage.receiver.script(Answer(500), Answer(500), Answer(500), OK)
        stage.send(1)
        await exhaust(stage, 4)
        await stage.settled()
        assert [one.retry_in for one in stage.attempts] == [1.0, 2.0, 4.0, None]
        assert [one.status for one in stage.attempts] == ["retrying"] * 3 + ["delivered"]
        assert [got.headers["x-sockudo-attempt"] for got in stage.receiver.received] == ["1", "2", "3", "4"]
        assert stage.value("webhook_deliveries_total", "app-1", "wh_1", "delivered") == 1
        assert_duplicates_alike(stage.receiver.received)
        await stage.pass_time(100)
        stage.send(2)  # whatever was left of the first would come before it
        await stage.attempted(5)
        assert len(stage.receiver.received) == 5


async def test_F19_a_cookie_is_not_sent_back() -> None:
    async with staged({"batching": Batching(enabled=False)}) as stage:
        stage.receiver.default = Answer(headers=(("Set-Cookie", "session=1; Path=/"),))
        for number in (1, 2, 3):
            stage.send(number)
            await stage.attempted(number)
        assert all("cookie" not in got.headers for got in stage.receiver.received)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nOK\r\n0\r\nX-T: 1\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nOK",
    ],
    ids=["continue", "early-hints", "trailers", "http-1.0"],
)
async def test_F20_unusual_but_legal_answers_are_deliveries(answer: bytes) -> None:
    assert await outcome(Raw(answer)) == ""
