"""From a configuration to a running server. The only package that knows every concrete class."""

import asyncio
import logging
import math
import os
import signal
import sys
from collections.abc import Callable

from sockudo_py.config import Config
from sockudo_py.process.descriptors import raise_limit
from sockudo_py.wiring.banner import banner_lines
from sockudo_py.wiring.server import Server

log = logging.getLogger(__name__)

SAME_SIGNAL = 0.5  # seconds; make, timeout and terminals signal the whole group, then forward it to the child as well


def run(config: Config, *, banner: bool = True) -> int:
    """Serve until SIGTERM or SIGINT, drain, return the exit code. Another signal after half a second ends it at once.

    It writes the addresses and drivers to standard error: as a table with ``banner``, else as a line of the log.

    Raises ConfigError and SockudoError when the server can't start.
    """
    raise_limit()
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    try:
        import uvloop

        loop_factory = uvloop.new_event_loop
    except ImportError:
        log.warning("uvloop is not installed: expect half the throughput")
    runner = asyncio.Runner(loop_factory=loop_factory)
    try:
        return runner.run(_serve(config, banner))
    except BaseException:
        runner.close()
        raise
    # Not closed after a stop: that would give signals back to Python, and a second one would print a traceback.


async def _serve(config: Config, banner: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    first = math.inf

    def stop_or_exit() -> None:
        nonlocal first
        if loop.time() - first > SAME_SIGNAL:
            log.warning("second signal: exiting without finishing")
            os._exit(1)
        first = min(first, loop.time())
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_or_exit)
    server = Server(config)
    try:
        await server.start()
        lines = banner_lines(config, server.port, server.metrics_port, server.apps.all())
        if banner:
            print("\n".join(lines), file=sys.stderr)  # noqa: T201
        else:
            log.info("%s", "; ".join(" ".join(line.split()) for line in lines))
        await server.complete()
        await stop.wait()
    finally:
        await server.stop()
    return 0
