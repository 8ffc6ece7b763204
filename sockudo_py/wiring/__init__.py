"""From a configuration to a running server. The only package that knows every concrete class."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable

from sockudo_py.config import Config
from sockudo_py.wiring.banner import banner_lines
from sockudo_py.wiring.server import Server

log = logging.getLogger(__name__)


def run(config: Config, *, banner: bool = True) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit code. A second signal ends the process at once.

    Raises ConfigError and SockudoError when the server can't start.
    """
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    try:
        import uvloop

        loop_factory = uvloop.new_event_loop
    except ImportError:
        log.warning("uvloop is not installed: expect half the throughput")
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_serve(config, banner))


async def _serve(config: Config, banner: bool) -> int:
    stop = asyncio.Event()

    def stop_or_exit() -> None:
        if stop.is_set():
            log.warning("second signal: leaving without finishing")
            os._exit(1)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_or_exit)
    server = Server(config)
    try:
        await server.start()
        if banner:
            print("\n".join(banner_lines(config, server.port, server.metrics_port, server.apps.all())), file=sys.stderr)  # noqa: T201
        await stop.wait()
    finally:
        await server.stop()
    return 0
