"""What ``listen`` does with a feed and a receiver, without either."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sockudo_py.cli.live.forwarding import LONGEST_WAIT, Forwarder
from sockudo_py.cli.live.server import Refusal, Silent
from sockudo_py.cli.main import main
from sockudo_py.errors import SockudoError

WEBHOOK = {"uid": "wh_1", "event_types": ["*"], "profile": "pusher"}


class Ended(Exception):
    """The script is over."""


def item(number: int, requests: int = 1) -> dict[str, Any]:
    sent = [{"headers": [["X-A", "1"]], "body": f"{number}.{part}"} for part in range(requests)]
    return {
        "delivery_id": f"d{number}",
        "cursor": f"c{number}",
        "events": 1,
        "event_types": ["a\x1b[31m"],
        "requests": sent,
    }


def page(*items: dict[str, Any], start: str = "s") -> dict[str, Any]:
    cursor = items[-1]["cursor"] if items else start
    return {"items": items, "start": start, "cursor": cursor, "retries_s": [1.0, 5.0], "request_timeout_ms": 10_000}


class Scripted:
    """A feed that answers as told, then ends the run; a receiver; and the time between."""

    name, app, url = "laptop", "3", "http://localhost/hook"

    def __init__(self, *answers: Mapping[str, Any] | Exception, statuses: Sequence[int | Exception] = ()) -> None:
        self.answers = list(answers)
        self.statuses = list(statuses)
        self.asked: list[str | None] = []
        self.posted: list[str] = []
        self.waits: list[float] = []
        self.lines: list[str] = []

    def open(self) -> Mapping[str, Any]:
        return WEBHOOK

    def read(self, after: str | None) -> Mapping[str, Any]:
        self.asked.append(after)
        answer = self.answers.pop(0) if self.answers else Ended()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def post(self, headers: Sequence[Sequence[str]], body: bytes, timeout: float) -> int:
        self.posted.append(body.decode())
        status = self.statuses.pop(0) if self.statuses else 200
        if isinstance(status, Exception):
            raise status
        return status

    def run(self) -> None:
        Forwarder(self, self, self.lines.append, self.waits.append).run()


def test_what_the_receiver_has_is_acknowledged_with_the_next_request() -> None:
    script = Scripted(page(item(1), item(2)), page())
    with pytest.raises(Ended):
        script.run()
    assert script.asked == [None, "c2", "s"]
    assert script.posted == ["1.0", "2.0"]
    assert "\x1b" not in "".join(script.lines)


def test_what_it_has_not_is_read_again_with_the_waits_of_the_endpoint_and_none_overtakes_it() -> None:
    first = page(item(1), item(2), item(3))
    statuses: list[int | Exception] = [200, 500, OSError("refused"), 404, 204, 200]
    script = Scripted(first, page(item(2), item(3)), page(item(2), item(3)), page(item(2), item(3)), statuses=statuses)
    with pytest.raises(Ended):
        script.run()
    assert script.posted == ["1.0", "2.0", "2.0", "2.0", "2.0", "3.0"]
    assert script.asked == [None, "c1", "s", "s", "c3"]
    assert script.waits == [1.0, 5.0, 5.0]


def test_the_first_of_all_that_is_refused_is_asked_for_by_the_same_reader() -> None:
    script = Scripted(page(item(1)), statuses=[500])
    with pytest.raises(Ended):
        script.run()
    assert script.asked == [None, "s"]


def test_a_delivery_of_several_requests_counts_when_all_are_taken() -> None:
    script = Scripted(page(item(1, 2)), page(item(1, 2)), statuses=[200, 500])
    with pytest.raises(Ended):
        script.run()
    assert script.posted == ["1.0", "1.1", "1.0", "1.1"]


def test_it_asks_for_ever_while_the_server_is_away_and_says_so_once() -> None:
    away: list[Mapping[str, Any] | Exception] = [Silent("no answer")] * 8
    script = Scripted(*away, Refusal(503, "unavailable", "busy"), Refusal(429, "rate_limited", "slow down"), page())
    with pytest.raises(Ended):
        script.run()
    assert script.waits[:3] == [0.2, 0.4, 0.8]
    assert max(script.waits) == LONGEST_WAIT
    assert sum("no answer" in line for line in script.lines) == 1
    assert "the server answers again" in script.lines[-1]
    assert set(script.asked[:-1]) == {None}


@pytest.mark.parametrize(
    ("status", "code"), [(401, "unauthorized"), (404, "unknown_webhook"), (409, "feed_taken"), (409, "not_a_feed")]
)
def test_what_no_waiting_mends_ends_it(status: int, code: str) -> None:
    with pytest.raises(SockudoError):
        Scripted(Refusal(status, code, "no")).run()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --forward"),
        (("--forward", "http://a/", "--delete"), "give --forward"),
        (("--forward", "ftp://a/"), "must be http://"),
        (("--forward", "http://a:b/"), "must be http://"),
        (("--forward", "http://a/ b"), "must be http://"),
        (("--forward", "http://a/", "--events", " ,"), "names no event type"),
    ],
)
def test_a_command_line_that_is_unusable(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--url", "http://127.0.0.1:1")
    assert main(["listen", "--app", "3", "--name", "n", *place, *words], {"SOCKUDO_ADMIN_KEY": "k"}) == 2
    assert said in capsys.readouterr().err
