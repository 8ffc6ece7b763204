"""What receivers of webhooks believe, read from Redis: occupied channels and present members, pending ends too."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from sockudo_py.adapters.base import Held
from sockudo_py.adapters.redis.partition import Partition
from sockudo_py.adapters.redis.view.channels import pairs, roster_of
from sockudo_py.adapters.redis.view.transitions import text

_AT_ONCE: Final = 500


async def held_of(partition: Partition, app_id: str) -> AsyncIterator[tuple[int | None, list[Held]]]:
    """Yield what one partition has of an app, see ``Tells.held``. Raises ``Unavailable``."""
    moment = await partition.time_ms()
    # Pending ends first: a member that comes back after that is among the names, which are read later.
    pending = [entry for entry in await partition.ask("ZRANGE", "pending", 0, -1) if _app(entry) == app_id]
    infos = await _infos(partition, [entry for entry in pending if entry[:1] == b"m"])
    names = await partition.ask("ZRANGEBYLEX", f"names:{app_id}", b"-", b"+")
    waiting = [_held(entry, infos.get(entry)) for entry in pending]
    for start in range(0, len(names), _AT_ONCE):
        some = [text(name) for name in names[start : start + _AT_ONCE]]
        presence = [name for name in some if name.startswith("presence-")]
        moment = await partition.time_ms()
        rosters = await asyncio.gather(*(partition.ask("HGETALL", b"r:" + _key(app_id, name)) for name in presence))
        members = dict(zip(presence, rosters, strict=True))
        held = []
        for name in some:
            held.append(Held(name))
            if name in members:
                held += [Held(name, user, info) for user, info in _members(members[name])]
        yield moment, held
    if waiting:
        yield moment, sorted(waiting, key=lambda one: one.user_id is not None)


async def _infos(partition: Partition, entries: list[bytes]) -> dict[bytes, str | None]:
    found: dict[bytes, str | None] = {}
    for start in range(0, len(entries), _AT_ONCE):
        some = entries[start : start + _AT_ONCE]
        for entry, info in zip(some, await partition.ask("HMGET", "pinfo", *some), strict=True):
            found[entry] = None if info is None else _info_of(info)
    return found


def _info_of(info: bytes) -> str | None:
    """Return user_info of what ``pinfo`` has of a member: length of the socket, ":", socket, user_info."""
    length, _, rest = info.partition(b":")
    given = text(rest[int(length) :]) if length.isdigit() else ""
    return None if given in ("", "null") else given


def _app(entry: bytes) -> str:
    return text(entry[1 : entry.find(b"\0")])


def _held(entry: bytes, info: str | None) -> Held:
    _, channel, *user = entry[1:].split(b"\0", 2)
    return Held(text(channel), text(user[0]) if user else None, info)


def _members(roster: object) -> list[tuple[str, str | None]]:
    return [(user, None if info == "null" else info) for user, info in roster_of(pairs(roster)).items()]


def _key(app_id: str, name: str) -> bytes:
    return app_id.encode("utf-8", "surrogatepass") + b"\0" + name.encode("utf-8", "surrogatepass")
