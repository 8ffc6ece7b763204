"""The supervisor as a process: signals, the configuration, the order of start and stop."""

import asyncio
import logging
import sys

from sockudo_py import logs
from sockudo_py.config import Config
from sockudo_py.config.load import Reader
from sockudo_py.config.printing.describe import secrets_of
from sockudo_py.config.sections.types import AUTO
from sockudo_py.errors import ConfigError, SockudoError
from sockudo_py.metrics import Metrics
from sockudo_py.process.cpus import usable_cpus
from sockudo_py.process.descriptors import Descriptors, open_limit, raise_limit
from sockudo_py.process.log_setup import set_up_log
from sockudo_py.process.notify import notify
from sockudo_py.process.signals import Signals
from sockudo_py.supervisor.crew import Crew
from sockudo_py.supervisor.sockets import SharedSockets
from sockudo_py.wiring.drivers.apps import endpoint_rules
from sockudo_py.wiring.reload import Advice, prepared, say_refused
from sockudo_py.wiring.server import longest_stop

log = logging.getLogger(__name__)

REST = 0.1  # seconds between two reloads, so that a storm of signals does not fill the loop


def worker_count(config: Config) -> int:
    """Return how many workers a configuration asks for."""
    return usable_cpus() if config.workers == AUTO else config.workers


def run(config: Config, reader: Reader, options: dict[str, object], *, banner: bool) -> int:
    """Be the supervisor until a signal says stop; return the exit code.

    Args:
        config: The configuration.
        reader: Has read its file.
        options: Of the command line, as ``load`` takes them.
        banner: Write the addresses and drivers to standard error as a table, else as a line of the log.

    Raises ConfigError and SockudoError when a worker can't start.
    """
    raise_limit()
    runner = asyncio.Runner()
    try:
        return runner.run(_Supervisor(config, reader, options).serve(banner))
    except BaseException:
        runner.close()
        raise
    # Not closed after a stop: as in ``wiring.run``.


class _Supervisor:
    def __init__(self, config: Config, reader: Reader, options: dict[str, object]) -> None:
        self._started_with = config
        self._config = config  # in force
        self._reader = reader
        self._options = options
        self._metrics = metrics = Metrics()
        self._reloads = metrics.counter("reloads_total", "Reloads of the configuration", ("result",))
        self._restarts = metrics.counter("restarts_total", "Replacements of all workers", ("result",))
        self._advice = Advice(config)
        self._wanted: set[str] = set()  # what operators have asked for: reload, restart
        self._working: asyncio.Task[None] | None = None

    async def serve(self, banner: bool) -> int:
        config = self._config
        stop = asyncio.Event()
        count = worker_count(config)
        sockets = SharedSockets(config)
        self._crew = crew = Crew(count, sockets, self._metrics)
        signals = Signals(stop.set, crew.kill)
        from sockudo_py.supervisor.metrics_port import MetricsPort

        descriptors = Descriptors(open_limit(), deliveries=0, metrics=self._metrics)
        port = MetricsPort(config, crew.figures, crew.pids, descriptors)
        well = True
        try:
            await sockets.open()
            await port.listen()
            order = {
                "content": self._reader.text,
                "path": None if config.source is None else str(config.source),
                "options": self._options,
                "workers": count,
                "metrics_port": port.port,
            }
            starting = asyncio.ensure_future(crew.start(order))
            stopped = asyncio.ensure_future(stop.wait())
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                self._say(starting.result(), banner)
                notify("READY=1")
                signals.reload_with(lambda: self._want("reload"))
                signals.restart_with(lambda: self._want("restart"))
                await stopped
            else:
                starting.cancel()
            notify("STOPPING=1")
            log.info("stopping %d workers", count)
        finally:
            if self._working is not None:
                self._working.cancel()
                await asyncio.wait({self._working})
            well = await crew.stop(longest_stop(self._config))
            await port.close()
            sockets.close()
        log.info("stopped")
        return 0 if well else 1

    def _say(self, lines: list[str], banner: bool) -> None:
        if banner:
            print("\n".join(lines), file=sys.stderr)  # noqa: T201
        else:
            log.info("%s", "; ".join(" ".join(line.split()) for line in lines))

    def _want(self, what: str) -> None:
        self._wanted.add(what)
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work(), name="reload or restart")

    async def _work(self) -> None:
        """Do what is wanted, one after the other; however often it is asked for meanwhile, it is done once more."""
        try:
            while self._wanted:
                restart = "restart" in self._wanted  # which is a reload, too
                self._wanted.clear()
                try:
                    await (self._restart() if restart else self._reload())
                except Exception:  # top of the task: the server goes on
                    log.exception("%s: unexpected error", "not restarted" if restart else "not reloaded")
                await asyncio.sleep(REST)
        finally:
            self._working = None

    async def _reload(self) -> None:
        done = False
        try:
            new = await asyncio.to_thread(self._started_with.again)
            logs.hide(secrets_of(new))
            config, _, _ = await asyncio.to_thread(prepared, self._config, new, endpoint_rules(self._config), Metrics())
        except ConfigError as error:
            say_refused(error)
        else:
            set_up_log(config)
            self._config = config
            done = await self._crew.reload(self._reader.text)
            self._advice.give(new)
            if done:
                log.info("reloaded")
            else:
                log.error("not all workers have reloaded: their lines say why")
        self._reloads.add("done" if done else "refused")

    async def _restart(self) -> None:
        done = False
        try:
            new = await asyncio.to_thread(self._started_with.again)
            logs.hide(secrets_of(new))
        except ConfigError as error:
            for problem in error.problems:
                log.error("%s", problem)
            log.error("not restarted: everything stays as it was")
        else:
            log.info("replacing the workers one by one")
            try:
                done = await self._crew.restart(self._reader.text, longest_stop(self._config))
            except SockudoError as error:
                log.error("%s", error)
            if done:
                self._config = new
                set_up_log(new)
                log.info("restarted: all workers are replaced")
                self._say_kept(new)
            else:
                log.error("not restarted: the workers that are there go on")
        self._restarts.add("done" if done else "refused")

    def _say_kept(self, new: Config) -> None:
        for key in ("host", "port", "workers", "metrics", "unix_socket"):
            if getattr(self._started_with, key) != getattr(new, key):
                text = "is not taken up by replacing the workers"
                log.warning("%s", new.problem(key, text, "stop the server and start it again for it"))
        if self._started_with.webhooks.admin.socket != new.webhooks.admin.socket:
            key, text = "webhooks.admin.socket", "is not taken up by replacing the workers"
            log.warning("%s", new.problem(key, text, "stop the server and start it again for it"))
