"""Ends tasks that run until somebody cancels them."""

import asyncio
import contextlib
from typing import Any


async def cancel(task: "asyncio.Task[Any] | None") -> None:
    """Cancel a task and return when it has ended; None: there is none. Raises what the task does, if it fails."""
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
