"""What becomes of a request to send that has reached its session's node."""

import asyncio

from sockudo_py.xhr.client import XhrClient
from sockudo_py.xhr.frames import BadBody, read_messages

Outcome = tuple[int, str]  # the status to answer, and what an error says

DONE: Outcome = (204, "")
NO_SESSION: Outcome = (404, "There is no such session")
OTHER_ORIGIN: Outcome = (403, "Origin not allowed")
AWAY: Outcome = (503, "The session's node can't be reached right now, try again later")
_TOO_MUCH: Outcome = (429, "Too many messages wait to be worked on")


def work_on(client: XhrClient | None, origin: str | None, body: bytes) -> "Outcome | asyncio.Future[None]":
    """Let a session work on a body; return how it ended, or what is done when it has ended well."""
    if client is None or client.over:
        return NO_SESSION
    if client.origin != origin:
        return OTHER_ORIGIN
    try:
        messages = read_messages(body)
    except BadBody as problem:
        return problem.status, str(problem)
    done = client.take(messages, len(body))
    if done is True:
        return DONE
    return _TOO_MUCH if done is False else done
