"""A balancer without stickiness: each new connection goes to the next server that is up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle

from tests.support.server import Server


@asynccontextmanager
async def balanced(servers: Sequence[Server]) -> AsyncIterator[int]:
    """Give the port of a balancer in front of ``servers``."""
    nodes = cycle(servers)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        for _ in servers:
            node = next(nodes)
            try:
                there, back = await asyncio.open_connection(node.host, node.port)
                break
            except OSError:
                continue
        else:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, back))
                group.create_task(_copy(there, writer))
        except* OSError:
            pass
        finally:
            for each in (back, writer):
                each.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes; the end of one side ends the connection."""
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError
