"""Access tokens of OAuth2's client credentials (RFC 6749, 4.4): fetched, kept until shortly before they end.

The token URL is dialled as the endpoint's own is: through the address guard, without redirects, within a deadline.
"""

import asyncio
import base64
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote_plus, urlencode

import orjson

from sockudo_py.endpoints import OAuth2
from sockudo_py.webhooks.targets.base import Delivered, Failure, Outcome, Request

ANSWER_BYTES = 65_536  # of a token URL
MOST = 1000  # tokens that are kept
_UNNAMED = 300.0  # seconds that a token holds whose answer does not say
_EARLY = 60.0  # seconds before its end a token is replaced, at most a tenth of its time
_AGAIN = 1.0  # seconds until a token URL that failed is asked again
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")

Key = tuple[OAuth2, bool]
Post = Callable[[Request], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A token, or why there is none; until when, by the clock of the loop."""

    token: str
    problem: str
    until: float


class Tokens:
    """Tokens by the client that they are for.

    Args:
        post: Sends a request, and keeps up to ANSWER_BYTES of the answer.
    """

    def __init__(self, post: Post) -> None:
        self._post = post
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._asking: dict[Key, asyncio.Task[_Kept]] = {}

    async def get(self, auth: OAuth2, request: Request, timeout: float) -> str | Failure:
        """Return the token with which a request may go, or the failure of the attempt. One is asked for at a time."""
        key = (auth, request.trusted)
        kept = self._kept.get(key)
        if kept is None or kept.until <= asyncio.get_running_loop().time():
            task = self._asking.get(key)
            if task is None:
                task = self._asking[key] = asyncio.create_task(self._ask(key, request))
                task.add_done_callback(lambda _: self._asking.pop(key, None))
            try:
                async with asyncio.timeout(timeout):
                    kept = await asyncio.shield(task)
            except TimeoutError:
                return Failure("auth", "no answer of the token URL in time")
        return kept.token or Failure("auth", kept.problem)

    def drop(self, auth: OAuth2, trusted: bool, token: str) -> None:
        """Forget a token that an endpoint has refused, unless there is another one by now."""
        kept = self._kept.get((auth, trusted))
        if kept is not None and kept.token == token:
            del self._kept[auth, trusted]

    async def close(self) -> None:
        """Stop asking."""
        for task in list(self._asking.values()):
            task.cancel()
        self._kept.clear()

    async def _ask(self, key: Key, request: Request) -> _Kept:
        auth, _ = key
        now = asyncio.get_running_loop().time
        outcome = await self._post(_question(auth, request))
        token, lasts = "", _AGAIN
        if isinstance(outcome, Delivered):
            token, problem, lasts = _read(outcome.response_body)
        elif outcome.error_class == "blocked_address":
            problem = "the token URL: address not allowed"
        elif outcome.status is not None:
            problem = f"the token URL answered {outcome.status}"
        else:
            problem = f"the token URL: {outcome.error_class}"
        kept = _Kept(token, problem if not token else "", now() + lasts)
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return kept


def _question(auth: OAuth2, request: Request) -> Request:
    fields = {"grant_type": "client_credentials"}
    fields |= {name: value for name, value in (("scope", auth.scope), ("audience", auth.audience)) if value}
    headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "application/json")]
    if auth.client_auth == "basic":
        pair = f"{quote_plus(auth.client_id)}:{quote_plus(auth.client_secret)}"
        headers.append(("Authorization", "Basic " + base64.b64encode(pair.encode()).decode()))
    else:
        fields |= {"client_id": auth.client_id, "client_secret": auth.client_secret}
    return Request(
        endpoint=request.endpoint,
        body=urlencode(fields).encode(),
        headers=tuple(headers),
        url=auth.token_url,
        timeout=request.timeout,
        connect_timeout=request.connect_timeout,
        trusted=request.trusted,
    )


def _read(answer: bytes) -> tuple[str, str, float]:
    """Return the token, what is wrong with the answer, and for how many seconds this holds."""
    try:
        document = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return "", "the token URL's answer is not JSON", _AGAIN
    token = document.get("access_token") if isinstance(document, dict) else None
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
        return "", "the token URL's answer has no access_token", _AGAIN
    kind = document.get("token_type", "Bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return "", "the token URL's answer has a token_type other than Bearer", _AGAIN
    lasts = document.get("expires_in")
    if isinstance(lasts, str) and lasts.isascii() and lasts.isdigit():
        lasts = int(lasts[:9])
    if not isinstance(lasts, int | float) or isinstance(lasts, bool) or not 0 < lasts < 10**9:
        lasts = _UNNAMED
    return token, "", lasts - min(_EARLY, lasts / 10)
