"""Idempotency keys of events and batches: a repeated request is published once.

A backend that got no answer can't know whether its event went out. With the same key it may ask again: it gets the
first answer, and nothing is published a second time. Decision 0020 has the alternatives.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine
from hashlib import sha256

import orjson

from sockudo_py.caches.base import IdempotencyKeys
from sockudo_py.errors import Unavailable
from sockudo_py.http.messages import OK, TEXT, UNAVAILABLE, ApiResponse, error
from sockudo_py.metrics import AppCounters

log = logging.getLogger(__name__)

MAX_KEY = 255  # characters
_KEY = re.compile(rf"[^\x00-\x1f\x7f\ud800-\udfff]{{1,{MAX_KEY}}}")

KEPT = 300.0  # seconds that the first answer is repeated
CLAIMED = 30.0  # seconds after which a request without answer counts as lost, with the node that worked on it
_LOOKS = 100  # times that a request looks for the answer of the one that works under its key ...
_BETWEEN = 0.05  # ... seconds between two looks

_WORKING, _DONE = b"w", b"d"
_FINGERPRINT = 16  # bytes

_OTHER_BODY = error(
    409, "This idempotency key was used for another request within the last 5 minutes: use a new key for a new event"
)
_STILL_WORKING = error(409, "A request with this idempotency key is still being worked on", ("Retry-After", "1"))


def read_key(in_body: object, in_header: str | None) -> str | ApiResponse | None:
    """Return the key of a request or an event; that of the body counts, as it does in Sockudo. None: it has none."""
    key = in_header if in_body is None else in_body
    if key is None or (isinstance(key, str) and _KEY.fullmatch(key)):
        return key
    return error(400, f"An idempotency key is a string of 1 to {MAX_KEY} characters without control characters")


def fingerprint(asked: object) -> bytes:
    """Return a digest that differs between requests. ``asked`` is the meaning of a request, as JSON values."""
    return sha256(orjson.dumps(asked)).digest()[:_FINGERPRINT]


class Keyed:
    """One key of one app while a request is answered under it.

    Args:
        keys: Where it is remembered.
        app_id: Whose key it is.
        name: The key, after what it is for: that of a batch has nothing to do with that of an event.
        asked: The request's fingerprint.
    """

    __slots__ = ("_app_id", "_asked", "_keys", "_name")

    def __init__(self, keys: IdempotencyKeys, app_id: str, name: str, asked: bytes) -> None:
        self._keys = keys
        self._app_id = app_id
        self._name = name
        self._asked = asked

    async def claim(self) -> ApiResponse | None:
        """Return None when this request is the first: then it has to be worked on, and ``answered`` or ``lost`` follow.

        Else return what to answer: what the first one was answered, after waiting for it, or a refusal.
        Raises Unavailable.
        """
        for _ in range(_LOOKS):
            found = await self._found()
            if found is None:
                return None
            state, asked, answer = found[:1], found[1 : 1 + _FINGERPRINT], found[1 + _FINGERPRINT :]
            if asked != self._asked:
                return _OTHER_BODY
            if state == _DONE:
                return _unpacked(answer)
            await asyncio.sleep(_BETWEEN)
        return _STILL_WORKING

    def after(self, before: "Keyed") -> ApiResponse:
        """Return the answer of a request that has the key of one before it in the same batch."""
        return OK if self._asked == before._asked else _OTHER_BODY

    def answered(self, answer: ApiResponse) -> None:
        """Remember the first answer; after an error the key is free again, since nothing was published."""
        if answer.status >= 400:
            self.lost()
        else:
            self._keys.put(self._app_id, self._name, _DONE + self._asked + _packed(answer), KEPT)

    def lost(self) -> None:
        """Free the key."""
        self._keys.remove(self._app_id, self._name)

    async def _found(self) -> bytes | None:
        answer: asyncio.Future[bytes | Unavailable | None] = asyncio.get_running_loop().create_future()
        self._keys.claim(
            self._app_id,
            self._name,
            _WORKING + self._asked,
            CLAIMED,
            lambda found: None if answer.done() else answer.set_result(found),
        )
        found = await answer
        if isinstance(found, Unavailable):
            raise found
        return found


class Idempotency:
    """Answers requests that have a key, each key once.

    Args:
        keys: Where they are remembered.
    """

    def __init__(self, keys: IdempotencyKeys) -> None:
        self._keys = keys
        self._under_way: set[asyncio.Task[ApiResponse]] = set()

    def keyed(self, app_id: str, name: str, asked: bytes) -> Keyed:
        """Return a key to work under."""
        return Keyed(self._keys, app_id, name, asked)

    def once(
        self, key: Keyed, counters: AppCounters, publish: Callable[[], ApiResponse | Awaitable[ApiResponse]]
    ) -> Awaitable[ApiResponse]:
        """Return the answer of ``publish``, or the one that the first request with this key got."""
        return self.in_the_end(_once(key, counters, publish))

    def in_the_end(self, work: Coroutine[None, None, ApiResponse]) -> Awaitable[ApiResponse]:
        """Return an awaitable of the answer. The work goes on after its client has gone away.

        A client that went away will repeat its request.
        """
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return asyncio.shield(task)


async def _once(
    key: Keyed, counters: AppCounters, publish: Callable[[], ApiResponse | Awaitable[ApiResponse]]
) -> ApiResponse:
    counters.idempotent_publishes += 1
    try:
        first = await key.claim()
    except Unavailable as problem:
        log.warning("can't look up idempotency keys: %s", problem)
        return UNAVAILABLE
    if first is not None:
        counters.idempotent_duplicates += first.status < 400
        return first
    try:
        answer = publish()
    except BaseException:
        key.lost()
        raise
    if not isinstance(answer, ApiResponse):
        answer = await answer  # if that raises, the event may be out: the key stays claimed for a while
    key.answered(answer)
    return answer


def _packed(answer: ApiResponse) -> bytes:
    return b"%d" % answer.status + (b"" if answer.body == OK.body else answer.body)


def _unpacked(packed: bytes) -> ApiResponse:
    status, body = int(packed[:3]), packed[3:]
    if status == 200:
        return ApiResponse(200, body) if body else OK
    return ApiResponse(status, body, TEXT)
