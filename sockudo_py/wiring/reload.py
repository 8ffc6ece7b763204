"""A reload: what SIGHUP makes of a changed configuration, without dropping a client."""

import asyncio
import logging
import ssl
from collections.abc import Callable

from sockudo_py import logs
from sockudo_py.apps.base import AppManager
from sockudo_py.apps.current import CurrentApps
from sockudo_py.config import Config
from sockudo_py.config.printing.describe import secrets_of
from sockudo_py.config.reloading import needs_restart, reloaded
from sockudo_py.errors import ConfigError
from sockudo_py.metrics import Metrics
from sockudo_py.process.log_setup import set_up_log
from sockudo_py.webhooks.endpoints.validation import EndpointRules
from sockudo_py.wiring.certificates import Certificates, Contents, read_pair
from sockudo_py.wiring.checks import spare_needless_queue
from sockudo_py.wiring.drivers.apps import make_apps
from sockudo_py.wiring.drivers.missing import refuse_unbuilt

log = logging.getLogger(__name__)

REST = 0.1  # seconds between two reloads, so that a storm of signals does not fill the loop


class Reloader:
    """Reads the configuration again and takes up what can be taken up: all of it, or, with any mistake, nothing.

    Args:
        running: The configuration that the server started with, which can be read again.
        rules: What endpoints may be, for this server.
        apps: Get the new ones.
        certificates: Get the new ones; None: the server speaks no TLS.
        use: Gets what holds after each reload.
        metrics: Counts reloads.
        done: Hears of each reload whether it succeeded. With it the supervisor says what is still to be done.
    """

    def __init__(
        self,
        running: Config,
        *,
        rules: EndpointRules,
        apps: CurrentApps,
        certificates: Certificates | None,
        use: Callable[[Config], None],
        metrics: Metrics,
        done: Callable[[bool], None] | None = None,
    ) -> None:
        self._running = running
        self._rules = rules
        self._apps = apps
        self._certificates = certificates
        self._use = use
        self._metrics = metrics
        self._done = done
        self._count = metrics.counter("reloads_total", "Reloads of the configuration", ("result",))
        self._advice = Advice(running)
        self._asked = False
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> None:
        """Reload soon. While a reload runs, one more follows, however often it is asked for."""
        if self._closed:
            log.info("no reload: the server is stopping")
            return
        self._asked = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="reload")

    async def close(self) -> None:
        """End a reload that is under way, and begin no other."""
        self._closed = True
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        try:
            while self._asked:
                self._asked = False
                await self._reload()
                await asyncio.sleep(REST)
        finally:
            self._task = None

    async def _reload(self) -> None:
        done = False
        try:
            await self._take_up()
            done = True
        except ConfigError as error:
            say_refused(error)
        except Exception:  # top of the task: the server goes on
            log.exception("not reloaded: unexpected error")
        else:
            log.info("reloaded")
        self._count.add("done" if done else "refused")
        if self._done is not None:
            self._done(done)

    async def _take_up(self) -> None:
        new = await asyncio.to_thread(self._running.again)
        logs.hide(secrets_of(new))
        config, apps, pair = await asyncio.to_thread(prepared, self._running, new, self._rules, self._metrics)
        await self._apps.replace(apps)
        if self._certificates is not None and pair is not None:
            self._certificates.take(config, *pair)
        set_up_log(config)
        self._use(config)
        if self._done is None:
            self._advice.give(new)


def prepared(
    running: Config, new: Config, rules: EndpointRules, metrics: Metrics
) -> tuple[Config, AppManager, tuple[ssl.SSLContext, Contents] | None]:
    """Return what a reload takes up: the configuration that holds then, its apps, and its certificate with TLS.

    ``metrics`` are for the apps. Raises ConfigError with all mistakes; then nothing has changed.
    """
    config = reloaded(running, new)
    problems: list[str] = []
    apps, pair = None, None
    try:
        refuse_unbuilt(new)
        apps = make_apps(config, rules, metrics)
    except ConfigError as error:
        problems += error.problems
    try:
        if running.ssl.enabled:
            pair = read_pair(config)
    except ConfigError as error:
        problems += error.problems
    if problems or apps is None:
        raise ConfigError(problems)
    return config, apps, pair


class Advice:
    """What is logged after a reload: what is still to be done for the configuration, and new warnings about it."""

    def __init__(self, running: Config) -> None:
        self._running = running
        self._warned = set(running.warnings)

    def give(self, new: Config) -> None:
        """Log it."""
        for line in needs_restart(self._running, spare_needless_queue(new)[0]):
            log.warning("%s", line)
        for warning in new.warnings:
            if warning not in self._warned:
                log.warning("%s", warning)
        self._warned = set(new.warnings)


def say_refused(error: ConfigError) -> None:
    """Log why a reload changes nothing."""
    for problem in error.problems:
        log.error("%s", problem)
    count = len(error.problems)
    log.error("not reloaded: %d mistake%s; everything stays as it was", count, "" if count == 1 else "s")
