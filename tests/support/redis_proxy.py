"""A TCP proxy before a Redis server that can lose replies: the command is carried out, its answer never arrives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ReplyProxy:
    """Passes bytes on both ways. ``lose_replies`` says how many of the next answers end in a closed connection."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port  # of new connections; change it, and the name "leads elsewhere"
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.lose_replies = 0
        self.lost = 0

    @property
    def url(self) -> str:
        """The URL of Redis through this proxy."""
        if self._server is None:
            raise RuntimeError("the proxy is not running")
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Cut all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            back, out = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:  # Redis is down
            writer.close()
            if task is not None:
                self._tasks.discard(task)
            return
        pumps = [asyncio.create_task(self._pump(reader, out)), asyncio.create_task(self._answer(back, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # stop(); asyncio's streams would log it
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for side in (writer, out):
                side.close()
            if task is not None:
                self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.lose_replies:
                self.lose_replies -= 1
                self.lost += 1
                return
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def reply_proxy(target_port: int) -> AsyncIterator[ReplyProxy]:
    """Run a proxy while the block lasts."""
    proxy = ReplyProxy(target_port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
