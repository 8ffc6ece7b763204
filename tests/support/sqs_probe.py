"""A way to SQS that breaks where a test says so."""

from collections.abc import Callable
from typing import Any

from sockudo_py.errors import Unavailable
from sockudo_py.queues.sqs.queue import SqsQueue

Calls = list[tuple[str, dict[str, Any]]]


def watch(queue: SqsQueue, breaks: Callable[[str, dict[str, Any]], str | None] = lambda *_: None) -> Calls:
    """List the calls of an open queue. ``breaks`` says "before" or "after" the call (its answer is lost), or None."""
    link, calls = queue._link, []
    real = link._raw

    async def raw(operation: str, **parameters: Any) -> dict[str, Any]:
        calls.append((operation, parameters))
        when = breaks(operation, parameters)
        if when == "before":
            raise Unavailable("cut before the call")
        answer = await real(operation, **parameters)
        if when == "after":
            raise Unavailable("cut after the call")
        return answer

    link._raw = raw  # type: ignore[method-assign]
    return calls
