"""From a configuration to a running server. The only package that knows every concrete class."""

import asyncio
import logging
import sys
from collections.abc import Callable

from sockudo_py.config import Config
from sockudo_py.process.descriptors import raise_limit
from sockudo_py.process.notify import notify
from sockudo_py.process.signals import Signals
from sockudo_py.wiring.banner import banner_lines, key_lines
from sockudo_py.wiring.server import Server

log = logging.getLogger(__name__)


def run(config: Config, *, banner: bool = True) -> int:
    """Serve until a signal says stop, drain, return the exit code. ``process.signals`` has all signals.

    It writes the addresses and drivers to standard error: as a table with ``banner``, else as a line of the log.

    Raises ConfigError and SockudoError when the server can't start.
    """
    raise_limit()
    runner = asyncio.Runner(loop_factory=loop_factory())
    try:
        return runner.run(_serve(config, banner))
    except BaseException:
        runner.close()
        raise
    # Not closed after a stop: that would give signals back to Python, and a second one would print a traceback.


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the loop of a server; None: the standard library does."""
    try:
        import uvloop
    except ImportError:
        log.warning("uvloop is not installed: expect half the throughput")
        return None
    return uvloop.new_event_loop


async def _serve(config: Config, banner: bool) -> int:
    stop = asyncio.Event()
    signals = Signals(stop.set)
    server = Server(config)
    try:
        await server.start()
        ports = server.port, server.metrics_port
        lines = banner_lines(config, *ports, server.apps.all(), server.key_file, made=server.made)
        if banner:
            more = key_lines(config, server.port, server.key_file, server.login_link())
            print("\n".join([*lines, *more]), file=sys.stderr)  # noqa: T201
        else:
            log.info("%s", "; ".join(" ".join(line.split()) for line in lines))
        await server.complete()
        signals.reload_with(server.reloader().ask)
        notify("READY=1")
        await stop.wait()
        notify("STOPPING=1")
    finally:
        await server.stop()
    return 0
