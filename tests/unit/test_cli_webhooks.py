"""``sockudo-py webhooks ...`` over real queues and a real receiver."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sockudo_py.cli.main import main
from sockudo_py.config import load
from sockudo_py.metrics import Metrics
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, LanePolicy, Queue
from sockudo_py.receiver import verify
from sockudo_py.webhooks.delivery.testing import sample_event
from sockudo_py.webhooks.events import EVENT_NAMES
from sockudo_py.wiring.drivers.queues import make_queue
from tests.support.hook_receiver import HookReceiver
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server
from tests.support.redis_server import unique_prefix as unique_prefix

T = TypeVar("T")
APP_SECRET = "tops3cret-of-the-app"
HOOK_SECRET = "tops3cret-of-the-endpoint"
AT_ONCE = LanePolicy(window=0.0, size=1, slow_start=False, max_in_flight=1000)


class Site:
    """A configuration file, and the queue that it names."""

    def __init__(self, folder: Path, queue: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
        self._path = folder / "config.json"
        self._queue = queue
        self._capsys = capsys
        self.write([{"uid": "wh_a", "url": "http://127.0.0.1:9/hook", "event_types": ["*"], "secret": HOOK_SECRET}])

    def write(self, webhooks: list[dict[str, Any]]) -> None:
        app = {"id": "app-1", "key": "key-1", "secret": APP_SECRET, "webhooks": webhooks}
        self._path.write_text(json.dumps({"queue": self._queue, "app_manager": {"array": {"apps": [app]}}}))

    def run(self, *words: str) -> tuple[int, str, str]:
        """Run ``webhooks WORDS`` and return code, output and errors, in which no secret shows."""
        code = main(["webhooks", *words, "--config", str(self._path)], {})
        out, err = self._capsys.readouterr()
        assert "tops3cret" not in out + err
        return code, out, err

    def json(self, *words: str) -> Any:
        code, out, err = self.run(*words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    def do(self, work: Callable[[Queue], Awaitable[T]]) -> T:
        """Do something with the queue as a server would."""

        async def opened() -> T:
            queue = make_queue(load(self._path, {}), Metrics())
            await queue.open()
            try:
                return await work(queue)
            finally:
                await queue.close()

        return asyncio.run(opened())

    def bury(self, count: int = 1, endpoint: str = "wh_a", app: str = "app-1", error: str = "503") -> None:
        """Put so many dead letters there: d0 is the oldest."""

        async def work(queue: Queue) -> None:
            await queue.set_policy(endpoint, AT_ONCE)
            event = b'{"name":"channel_occupied","channel":"c"}'
            await queue.append([Append(f"{endpoint}-d{n}", endpoint, app, event, 1700) for n in range(count)])
            for n, claim in enumerate(await queue.claim("w", count, 30)):
                counted = claim.job.replace(b'"attempt":0', b'"attempt":6')
                error_ = jobs.JobError("http_5xx", error, 503)
                assert await queue.fail(claim.token, jobs.bury(counted, 1_763_770_000_000 + n, error_))

        self.do(work)

    def claimable(self) -> list[str]:
        async def work(queue: Queue) -> list[str]:
            for endpoint in ("wh_a", "wh_b"):
                await queue.set_policy(endpoint, AT_ONCE)
            found: list[str] = []
            while claims := await queue.claim("w", 1000, 30):
                found += [jobs.decode(claim.job).id for claim in claims]
            return found

        return self.do(work)


@pytest.fixture(params=["redis", "sqlite"])
def site(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str], unique_prefix: str
) -> Site:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        redis = {"prefix": unique_prefix, "url_override": server.url}
        return Site(tmp_path, {"driver": "redis", "redis": redis}, capsys)
    made = Site(tmp_path, {"driver": "sqlite", "sqlite": {"path": str(tmp_path / "queue.sqlite3")}}, capsys)
    made.do(_nothing)
    return made


async def _nothing(queue: Queue) -> None:
    """Open and close: the file is there then."""


def test_no_dead_letters(site: Site) -> None:
    assert site.run("failed")[:2] == (0, "0 shown of 0 dead letters\n")
    assert site.json("failed") == []


def test_failed_lists_the_newest_first_with_when_what_and_why(site: Site) -> None:
    site.bury(3)
    code, out, _ = site.run("failed")
    head, *rows, total = out.splitlines()
    assert code == 0
    assert head.split("  ")[0] == "FAILED AT"
    assert [re.findall(r"wh_a-d\d", row) for row in rows] == [["wh_a-d2"], ["wh_a-d1"], ["wh_a-d0"]]
    assert re.split(r"\s{2,}", rows[0]) == [
        "2025-11-22 00:06:40Z", "wh_a", "app-1", "wh_a-d2", "channel_occupied", "6", "http_5xx: 503",
    ]  # fmt: skip
    assert total == "3 shown of 3 dead letters"


def test_failed_as_json_has_the_whole_jobs(site: Site) -> None:
    site.bury(1)
    [job] = site.json("failed")
    assert job["events"] == [{"name": "channel_occupied", "channel": "c"}]
    assert job["error"] == {"class": "http_5xx", "status": 503, "message": "503"}


def test_failed_can_be_narrowed_to_an_app_and_an_endpoint_and_is_limited(site: Site) -> None:
    site.bury(3)
    site.bury(2, "wh_b", "app-2")
    assert len(site.json("failed")) == 5
    assert [job["id"] for job in site.json("failed", "--app", "app-2")] == ["wh_b-d1", "wh_b-d0"]
    assert [job["id"] for job in site.json("failed", "--endpoint", "wh_a", "--limit", "2")] == ["wh_a-d2", "wh_a-d1"]
    assert "2 shown of 5" in site.run("failed", "--app", "app-2")[1]


def test_failed_reads_past_its_first_page(site: Site) -> None:
    site.bury(1, "wh_b", "app-2")
    site.bury(230)
    assert [job["id"] for job in site.json("failed", "--endpoint", "wh_b")] == ["wh_b-d0"]


def test_what_came_from_outside_can_not_steer_the_terminal(site: Site) -> None:
    site.bury(1, error="\x1b[2Jhi\r\n\u202e")
    out = site.run("failed")[1]
    assert "\\x1b[2Jhi\\x0d\\x0a\\x202e" in out
    assert "\x1b" not in out


def test_retry_sends_the_oldest_again(site: Site) -> None:
    site.bury(3)
    assert site.run("retry", "--limit", "2")[1].startswith("2 sent back for delivery, 1 dead letter left")
    assert sorted(site.claimable()) == ["wh_a-d0", "wh_a-d1"]


def test_retry_of_one_endpoint_leaves_the_others(site: Site) -> None:
    site.bury(2)
    site.bury(2, "wh_b")
    assert site.run("retry", "--endpoint", "wh_b")[1].startswith("2 sent back for delivery, 2 dead letters left")
    assert sorted(site.claimable()) == ["wh_b-d0", "wh_b-d1"]


def test_retry_all_takes_every_page(site: Site) -> None:
    site.bury(230)
    assert site.run("retry", "--all")[1].startswith("230 sent back for delivery, 0 dead letters left")
    assert len(site.claimable()) == 230


def test_retry_with_nothing_to_do_is_fine(site: Site) -> None:
    assert site.run("retry", "--all")[0] == 0


def test_purge_wants_to_be_told_twice_and_deletes_only_of_its_endpoint(site: Site) -> None:
    site.bury(2)
    site.bury(1, "wh_b")
    code, _, err = site.run("purge", "--endpoint", "wh_a")
    assert (code, err) == (2, "purge: deletes for good; repeat the command with --yes\n")
    assert len(site.json("failed")) == 3
    assert site.run("purge", "--endpoint", "wh_a", "--yes")[:2] == (0, "2 dead letters deleted\n")
    assert [job["ep"] for job in site.json("failed")] == ["wh_b"]


def test_stats_count_what_is_where(site: Site) -> None:
    async def append(queue: Queue) -> None:
        await queue.append([Append(f"e{n}", "wh_b", "app-1", b'{"name":"x"}', 1700) for n in range(3)])

    site.bury(2)
    site.do(append)
    figures = site.json("stats")
    assert (figures["waiting"], figures["active"], figures["failed"]) == (3, 0, 2)
    assert [(lane["endpoint"], lane["waiting"]) for lane in figures["lanes"] if lane["waiting"]] == [("wh_b", 3)]
    out = site.run("stats")[1]
    assert re.search(r"^failed +2$", out, re.MULTILINE)
    assert re.search(r"^wh_b +3 +0", out, re.MULTILINE)


# -- one attempt


@pytest.fixture
def plain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, {"driver": "memory"}, capsys)


def test_test_makes_one_genuine_attempt_and_shows_its_outcome(plain: Site) -> None:
    with HookReceiver() as hooks:
        plain.write(
            [{"uid": "wh_a", "url": f"{hooks.url}/x", "profile": "irisx", "secret": HOOK_SECRET, "event_types": ["*"]}]
        )
        code, out, _ = plain.run("test", "--endpoint", "wh_a")
        [hook] = hooks.hooks("/x")
    assert code == 0
    assert re.match(r"delivered in \d+ ms\n  event     channel_occupied as dl_test_", out)
    assert "  status    200\n" in out
    delivery = verify(hook.body, dict(hook.headers), profile="irisx", secret=HOOK_SECRET)
    assert delivery.payload["event"] == "channel_occupied"


def test_test_with_a_chosen_type_of_any_name(plain: Site) -> None:
    with HookReceiver() as hooks:
        plain.write([{"uid": "wh_a", "url": f"{hooks.url}/x", "event_types": ["member_added"]}])
        plain.run("test", "--endpoint", "wh_a", "--event-type", "stream.live")
        result = plain.json("test", "--endpoint", "wh_a")
        custom, usual = hooks.hooks("/x")
    assert [event["name"] for event in custom.events] == ["stream.live"]
    assert [event["name"] for event in usual.events] == ["member_added"]
    assert result["success"] is True
    assert (result["status_code"], result["event_type"], result["error"]) == (200, "member_added", None)


def test_test_that_fails_says_how_and_ends_with_1(plain: Site) -> None:
    with HookReceiver() as hooks:
        path = "/x?token=tops3cret"
        hooks.answer(path, 503, 404)
        plain.write([{"uid": "wh_a", "url": hooks.url + path, "event_types": ["*"]}])
        code, out, _ = plain.run("test", "--endpoint", "wh_a")
        assert code == 1
        assert out.startswith("FAILED in ")
        assert "  status    503\n  error     http_5xx: the endpoint answered 503\n" in out
        code, out, _ = plain.run("test", "--endpoint", "wh_a", "--json")
        assert code == 1
        assert json.loads(out)["error"] == {"class": "http_4xx", "message": "the endpoint answered 404"}
        assert len(hooks.hooks(path)) == 2, "there are no retries"


def test_test_where_nobody_listens(plain: Site) -> None:
    with HookReceiver() as hooks:
        url = hooks.url
    plain.write([{"uid": "wh_a", "url": url, "event_types": ["*"]}])
    code, out, _ = plain.run("test", "--endpoint", "wh_a")
    assert code == 1
    assert "  status    none: no answer\n  error     connect: " in out


def test_test_of_an_endpoint_that_is_not_there_names_those_that_are(plain: Site) -> None:
    code, _, err = plain.run("test", "--endpoint", "wh_z")
    assert (code, err) == (2, "--endpoint: there is no wh_z; known are: wh_a (app-1)\n")


@pytest.mark.parametrize("name", sorted(EVENT_NAMES.values()))
def test_there_is_a_sample_of_every_event(name: str) -> None:
    event = sample_event(name, "app-1", 1700)
    assert (event["name"], event["time_ms"]) == (name, 1700)
    assert "event_id" not in event


# -- queues that can't be opened


@pytest.mark.parametrize("words", [["failed"], ["retry"], ["stats"], ["purge", "--endpoint", "wh_a", "--yes"]])
def test_a_queue_in_memory_is_out_of_reach_and_the_remedy_is_named(plain: Site, words: list[str]) -> None:
    code, out, err = plain.run(*words)
    assert (code, out) == (2, "")
    assert "lives inside the server process" in err
    assert "set queue.driver to redis" in err


@pytest.fixture
def held(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, {"driver": "sqlite", "sqlite": {"path": str(tmp_path / "queue.sqlite3")}}, capsys)


@pytest.mark.parametrize("words", [["retry"], ["purge", "--endpoint", "wh_a", "--yes"]])
def test_a_file_that_a_server_holds_can_not_be_changed_and_the_remedy_is_named(held: Site, words: list[str]) -> None:
    async def meanwhile(_: Queue) -> tuple[int, str, str]:
        return await asyncio.to_thread(held.run, *words)

    code, _, err = held.do(meanwhile)
    assert code == 2
    assert "the running server has this queue for itself; stop the server" in err


def test_a_file_that_a_server_holds_can_be_looked_into(held: Site) -> None:
    async def meanwhile(queue: Queue) -> None:
        await queue.set_policy("wh_b", AT_ONCE)
        await queue.append([Append(f"e{n}", "wh_b", "app-1", b'{"name":"x"}', 1700) for n in range(5)])
        first, second, *_ = await queue.claim("w", 2, 30)
        await queue.retry(first.token, first.job, 60)
        figures = await asyncio.to_thread(held.json, "stats")
        counts = {name: figures[name] for name in ("waiting", "active", "delayed", "failed")}
        assert counts == {"waiting": 3, "active": 1, "delayed": 1, "failed": 2}
        lane = {"endpoint": "wh_b", "waiting": 3, "in_flight": 1, "gate_ms": 0, "pace_ms": 0, "delayed": 0}
        assert figures["lanes"] == [lane]
        assert figures["oldest_waiting_ms"] > 10**12
        assert [job["id"] for job in await asyncio.to_thread(held.json, "failed")] == ["wh_a-d1", "wh_a-d0"]
        await queue.ack(second.token)

    held.bury(2)
    held.do(meanwhile)


def test_a_file_that_is_no_database_is_a_line_and_ends_with_1(held: Site, tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite3").write_bytes(b"x" * 5000)
    code, _, err = held.run("failed")
    assert code == 1
    assert "can't be read: file is not a database" in err


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "elsewhere" / "queue.sqlite3"
    code, _, err = Site(tmp_path, {"driver": "sqlite", "sqlite": {"path": str(path)}}, capsys).run("stats")
    assert code == 2
    assert f"there is no {path}; run this where the server runs" in err
    assert not path.exists()


def test_a_redis_that_is_away_is_a_line_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with HookReceiver() as gone:
        address = gone.url.removeprefix("http://")
    redis = {"url_override": f"redis://:tops3cret@{address}/0"}
    code, out, err = Site(tmp_path, {"driver": "redis", "redis": redis}, capsys).run("failed")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [[], ["fail"], ["failed", "--limit", "0"], ["retry", "--all", "--limit", "3"], ["test"]]
)
def test_a_wrong_command_line_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["webhooks", *words], {})
    assert ended.value.code == 2
    assert "usage: sockudo-py webhooks" in capsys.readouterr().err
