"""``sockudo-py webhooks``: commands for operators, about deliveries that failed.

The commands open the queue that the configuration names, beside a running server. They print no secrets. They escape
control characters in text from outside, since a terminal would obey them.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from sockudo_py.apps.base import AppDefinition
from sockudo_py.config import Config, load
from sockudo_py.errors import ConfigError, SockudoError
from sockudo_py.metrics import Metrics
from sockudo_py.queues.base import Depths, Queue

OK, FAILED = 0, 1
_PAGE = 200  # dead letters read at a time
_LANES = 1000  # shown by stats
_WIDEST = 60  # characters of a cell

Env = Mapping[str, str]
Apps = Callable[[Config, Env, Callable[[str], None]], Sequence[AppDefinition]]
Command = Callable[[argparse.Namespace, Config, Env], Coroutine[Any, Any, int]]


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add_config: Callable[[argparse.ArgumentParser], None],
    apps: Apps,
) -> None:
    """Add ``webhooks`` with its commands. ``apps`` returns the apps of a configuration."""
    group = commands.add_parser("webhooks", help="look at dead letters, send them again, test endpoints")
    parsers = group.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        parser = parsers.add_parser(name, help=text)
        add_config(parser)
        parser.set_defaults(run=lambda options, env: asyncio.run(run(options, load(options.config, env), env)))
        return parser

    failed = add("failed", _failed, "list dead letters, newest first")
    failed.add_argument("--app", metavar="ID", help="only of this app")
    failed.add_argument("--endpoint", metavar="UID", help="only of this endpoint")
    failed.add_argument("--limit", type=_positive, default=20, metavar="N", help="maximum number to show (default 20)")
    failed.add_argument("--json", action="store_true", help="print the whole jobs, events included")

    retry = add("retry", _retry, "send dead letters again, oldest first, with their whole schedule")
    retry.add_argument("--endpoint", metavar="UID", help="only of this endpoint")
    many = retry.add_mutually_exclusive_group()
    many.add_argument(
        "--limit", type=_positive, default=100, metavar="N", help="maximum number to send again (default 100)"
    )
    many.add_argument("--all", action="store_true", help="send all of them again")

    def test(options: argparse.Namespace, config: Config, env: Env) -> Coroutine[Any, Any, int]:
        return _test(options, config, apps(config, env, lambda warning: print(f"warning: {warning}")))

    trial = add("test", test, "send a test event to an endpoint, with its real target and signature")
    trial.add_argument("--endpoint", metavar="UID", required=True)
    trial.add_argument(
        "--event-type",
        metavar="TYPE",
        help="event name, such as channel_occupied (default: one that the endpoint wants)",
    )
    trial.add_argument("--json", action="store_true")

    stats = add(
        "stats", _stats, "show queue depths: waiting, in flight, delayed and dead jobs, and the deepest endpoints"
    )
    stats.add_argument("--json", action="store_true")

    purge = add("purge", _purge, "delete the dead letters of an endpoint for good")
    purge.add_argument("--endpoint", metavar="UID", required=True)
    purge.add_argument("--yes", action="store_true", help="confirm; without it nothing is deleted")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _shareable(config: Config) -> None:
    """Raise ConfigError when the queue can't be opened beside a server."""
    file, queue = config.origin, config.queue
    if queue.driver == "memory":
        raise ConfigError(
            [
                f"{file}: queue.driver: memory: this queue lives inside the server process and can't be opened from "
                "outside; set queue.driver to redis"
            ]
        )
    if queue.driver == "sqlite" and not Path(queue.sqlite.path).exists():
        path = Path(queue.sqlite.path).absolute()
        raise ConfigError([f"{file}: queue.sqlite.path: there is no {path}; run this where the server runs"])


@asynccontextmanager
async def _open_queue(config: Config) -> AsyncIterator[Queue]:
    """Open the configured queue. Raises ConfigError when it can't be shared with a server."""
    from sockudo_py.wiring.drivers import make_queue

    _shareable(config)
    queue = make_queue(config, Metrics())
    try:
        await queue.open()
    except SockudoError as error:
        await queue.close()
        if "in use by another process" in str(error):
            where = f"{config.origin}: queue.sqlite.path"
            remedy = "stop the server and repeat the command, or set queue.driver to redis"
            raise ConfigError([f"{where}: the running server has this queue for itself; {remedy}"]) from error
        raise
    try:
        yield queue
    finally:
        await queue.close()


class _Looking(Protocol):
    """The part of a queue that read-only commands use."""

    async def failed(self, offset: int = 0, limit: int = 50) -> list[bytes]: ...

    async def depths(self, lanes: int = 20) -> Depths: ...


@asynccontextmanager
async def _look(config: Config) -> AsyncIterator[_Looking]:
    """The configured queue, to look at. That of SQLite, too, while a server has it for itself."""
    _shareable(config)
    if config.queue.driver == "sqlite":
        from sockudo_py.queues.sqlite.view import SqliteView

        yield SqliteView(Path(config.queue.sqlite.path))
        return
    async with _open_queue(config) as queue:
        yield queue


# -- commands


async def _failed(options: argparse.Namespace, config: Config, env: Env) -> int:
    found: list[dict[str, Any]] = []
    async with _look(config) as queue:
        total = (await queue.depths(0)).failed
        async for job in _dead(queue):
            if options.app in (None, job.get("app")) and options.endpoint in (None, job.get("ep")):
                found.append(job)
                if len(found) == options.limit:
                    break
    if options.json:
        print(json.dumps(found, indent=2))
        return OK
    if found:
        head = ("FAILED AT", "ENDPOINT", "APP", "DELIVERY", "EVENTS", "ATTEMPTS", "ERROR")
        print("\n".join(_table(head, [_row(job) for job in found])))
    print(f"{len(found)} shown of {total} dead letter{'' if total == 1 else 's'}")
    return OK


async def _retry(options: argparse.Namespace, config: Config, env: Env) -> int:
    async with _open_queue(config) as queue:
        dead = (await queue.depths(0)).failed
        # No more than are dead now: what fails again while this runs must not be sent round and round.
        wanted = dead if options.all else min(options.limit, dead)
        sent = 0
        while sent < wanted:
            moved = await queue.redrive(options.endpoint, min(_PAGE, wanted - sent))
            sent += moved
            if not moved:
                break
        left = (await queue.depths(0)).failed
    print(f"{sent} sent back for delivery, {left} dead letters left; a running server delivers them")
    return OK


async def _test(options: argparse.Namespace, config: Config, apps: Sequence[AppDefinition]) -> int:
    from sockudo_py.webhooks.delivery.testing import attempt
    from sockudo_py.wiring.drivers import make_targets

    endpoints = {endpoint.uid: endpoint for definition in apps for endpoint in definition.endpoints}
    endpoint = endpoints.get(options.endpoint)
    if endpoint is None:
        known = ", ".join(f"{uid} ({one.name or one.app_id})" for uid, one in endpoints.items())
        raise ConfigError([f"--endpoint: there is no {_plain(options.endpoint)}; known are: {known or 'none'}"])
    targets = make_targets(config, Metrics())
    try:
        trial = await attempt(endpoint, targets, options.event_type)
    finally:
        for target in targets.values():
            await target.close()
    body = trial.response_body.decode("utf-8", "replace")
    if options.json:
        error = None if trial.delivered else {"class": trial.error_class, "message": trial.message}
        result = {
            "success": trial.delivered,
            "status_code": trial.status,
            "duration_ms": trial.duration_ms,
            "response_body": body,
            "response_truncated": trial.response_truncated,
            "delivery_id": trial.delivery_id,
            "event_type": trial.event_type,
            "error": error,
        }
        print(json.dumps(result, indent=2))
        return OK if trial.delivered else FAILED
    print(f"{'delivered' if trial.delivered else 'FAILED'} in {trial.duration_ms} ms")
    print(f"  event     {_plain(trial.event_type)} as {trial.delivery_id}")
    print(f"  status    {trial.status if trial.status is not None else 'none: no answer'}")
    if not trial.delivered:
        print(f"  error     {trial.error_class}: {_plain(trial.message or '')}")
    if body:
        print("  body      " + "\n            ".join(_plain(line) for line in body.splitlines()))
        if trial.response_truncated:
            print("            ... (more came)")
    return OK if trial.delivered else FAILED


async def _stats(options: argparse.Namespace, config: Config, env: Env) -> int:
    async with _look(config) as queue:
        depths = await queue.depths(_LANES)
    if options.json:
        print(json.dumps(asdict(depths), indent=2))
        return OK
    for name in ("waiting", "active", "delayed", "failed"):
        print(f"{name:<8} {getattr(depths, name):>8}")
    if depths.waiting:
        print(f"the oldest waits for {depths.oldest_waiting_ms / 1000:.1f} s")
    if depths.lanes:
        head = ("ENDPOINT", "WAITING", "IN FLIGHT", "TAKES", "OPENS IN")
        rows = [
            (
                lane.endpoint,
                str(lane.waiting),
                str(lane.in_flight),
                f"{lane.pace_ms / 1000:.1f} s" if lane.pace_ms else "",
                f"{lane.gate_ms / 1000:.1f} s" if lane.gate_ms else "",
            )
            for lane in depths.lanes
        ]
        print("", *_table(head, rows), sep="\n")
    return OK


async def _purge(options: argparse.Namespace, config: Config, env: Env) -> int:
    if not options.yes:
        raise ConfigError(["purge: deletes for good; repeat the command with --yes"])
    async with _open_queue(config) as queue:
        gone = await queue.purge(options.endpoint)
    print(f"{gone} dead letter{'' if gone == 1 else 's'} deleted")
    return OK


# -- showing


async def _dead(queue: _Looking) -> AsyncIterator[dict[str, Any]]:
    """Yield the dead jobs, newest first. A text that is no JSON object comes as ``{"raw": text}``."""
    offset = 0
    while texts := await queue.failed(offset, _PAGE):
        for text in texts:
            try:
                job = json.loads(text)
            except (ValueError, RecursionError):
                job = None
            yield job if isinstance(job, dict) else {"raw": text.decode("utf-8", "replace")}
        offset += len(texts)


def _row(job: Mapping[str, Any]) -> tuple[str, ...]:
    error = job.get("error")
    error = error if isinstance(error, dict) else {}
    events = job.get("events")
    names = (
        [str(event.get("name", "?")) for event in events if isinstance(event, dict)] if isinstance(events, list) else []
    )
    shown = names[0] if names else "none"
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    reason = ": ".join(str(error[key]) for key in ("class", "message") if error.get(key))
    return (
        _moment(job.get("failed_ms")),
        str(job.get("ep", "")),
        str(job.get("app", "")),
        str(job.get("id", "")),
        shown + more,
        str(job.get("attempt", "")),
        reason or "this is no job",
    )


def _moment(time_ms: object) -> str:
    if not isinstance(time_ms, int) or not 0 < time_ms < 10**14:
        return "?"
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [tuple(head), *(tuple(_short(_plain(cell)) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _plain(text: str) -> str:
    """Return ``text`` with every character that a terminal may obey as an escape."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
