"""A worker as a process: a server that a supervisor has started and controls."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sockudo_py import __version__
from sockudo_py.config import Config, load
from sockudo_py.errors import ConfigError, SockudoError
from sockudo_py.process.descriptors import raise_limit
from sockudo_py.process.log_setup import set_up_log
from sockudo_py.process.signals import Signals
from sockudo_py.supervisor.sums import families_of, written
from sockudo_py.supervisor.wire import Said, Wire
from sockudo_py.wiring import loop_factory
from sockudo_py.wiring.banner import banner_lines
from sockudo_py.wiring.place import Place
from sockudo_py.wiring.reload import Reloader
from sockudo_py.wiring.server import Server

log = logging.getLogger(__name__)

FAILED, UNUSABLE = 1, 2  # exit codes, as of ``sockudo-py start``


class Content:
    """The file of the configuration as the supervisor has read it: all workers have the same one."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, path: Path) -> bytes:
        """Return it, whatever is in the file by now."""
        return self.text.encode()


def run(descriptor: int) -> int:
    """Be a worker until the supervisor says stop, or is gone; return the exit code.

    Args:
        descriptor: Of the socket to the supervisor.
    """
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError as problem:
        raise SockudoError("this command is for a supervisor: `sockudo-py start` with `workers`") from problem
    raise_limit()
    runner = asyncio.Runner(loop_factory=loop_factory())
    try:
        return runner.run(_work(sock))
    except BaseException:
        runner.close()
        raise
    # Not closed after a stop: as in ``wiring.run``.


async def _work(sock: socket.socket) -> int:
    return await _Worker(sock).work()


class _Worker:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._wire = Wire(self._hear, self._orphaned)
        self._order: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._server: Server | None = None
        self._reloader: Reloader | None = None
        self._content = Content("")
        self._others_ill = False
        self._retires = False

    async def work(self) -> int:
        loop = asyncio.get_running_loop()
        Signals(self._stop.set)
        self._socket.setblocking(False)
        await loop.create_unix_connection(lambda: self._wire, sock=self._socket)
        order = await self._order
        if not order:  # the supervisor is gone already
            return 0
        code = 0
        try:
            await self._serve(order)
        except ConfigError as error:
            code = self._failed(error.problems, UNUSABLE)
        except SockudoError as error:
            code = self._failed([str(error)], FAILED)
        self._wire.close()
        return code

    def _failed(self, problems: list[str], code: int) -> int:
        self._wire.say("failed", problems=problems, unusable=code == UNUSABLE)
        return code

    async def _serve(self, order: Said) -> None:
        worker: str = order["worker"]
        _name_lines(worker)
        self._content.text = order["content"]
        path = None if order["path"] is None else Path(order["path"])
        config = load(path, os.environ, order["options"], self._content)
        set_up_log(config)
        place = Place(
            worker,
            tuple(_inherited(order["listeners"])),
            next(_inherited([order["unix"]]), None),
            next(_inherited([order["admin"]]), None),
            lambda: self._others_ill,
        )
        self._server = server = Server(_of_worker(config, worker), place)
        server.metrics.gauge("build_info", "Always 1; the label version is the version that runs", ("version",)).set(
            __version__, value=1
        )
        try:
            await server.start()
            await server.complete()
            self._reloader = server.reloader(lambda done: self._wire.say("reloaded", done=done))
            apps, workers = server.apps.all(), order["workers"]
            lines = banner_lines(
                config, server.port, order["metrics_port"], apps, server.key_file, workers, server.made
            )
            self._wire.say("ready", lines=lines, **self._state())
            await self._stop.wait()
        finally:
            if self._retires:
                server.retire()
            await server.stop()
            self._wire.say("metrics", families=written(families_of(server.metrics)))

    def _state(self) -> dict[str, Any]:
        server = self._server
        return {} if server is None else {"names": list(server.names()), "ill": [*_own(server.ill())]}

    def _hear(self, said: Said) -> None:
        server = self._server
        match said["say"]:
            case "start" if not self._order.done():
                self._order.set_result(said)
            case "ask" if said["what"] == "state":
                self._wire.say("state", **self._state())
            case "ask" if server is not None and said["what"] == "metrics":
                self._wire.say("metrics", families=written(families_of(server.metrics)))
            case "others":
                self._others_ill = said["ill"]
            case "reload" if self._reloader is not None:
                self._content.text = said["content"]
                self._reloader.ask()
            case "expire" if server is not None and server.expire(said["names"]):
                self._wire.say("expired", names=said["names"])
            case "retire":
                self._retires = True
                self._stop.set()

    def _orphaned(self) -> None:
        """The supervisor is gone: give the port back, so that its successor can have it."""
        if not self._stop.is_set():
            log.error("the supervisor has ended: stopping")
            self._retires = True
            self._stop.set()
        if not self._order.done():
            self._order.set_result({})


def _own(ill: Sequence[str]) -> Sequence[str]:
    """Return what of a worker's ill parts is its own."""
    return [part for part in ill if part != "workers"]


def _inherited(numbers: Sequence[int | None]) -> "Any":
    return (socket.socket(fileno=number) for number in numbers if number is not None)


def _of_worker(config: Config, worker: str) -> Config:
    """Return the configuration of one worker: the supervisor has the metrics port, and names must differ."""
    server = config.server_id or f"{socket.gethostname()}:{config.port}"
    return config.model_copy(
        update={
            "metrics": config.metrics.model_copy(update={"enabled": False}),
            "server_id": f"{server}/{worker}",
        }
    )


def _name_lines(worker: str) -> None:
    """Let each line of the log say which worker wrote it."""
    make: Callable[..., logging.LogRecord] = logging.getLogRecordFactory()

    def named(*words: Any, **options: Any) -> logging.LogRecord:
        record = make(*words, **options)
        record.worker = worker
        return record

    logging.setLogRecordFactory(named)
