"""What signals do. No signal that operators and their tools send ends the server in the midst of its work.

| signal | meaning |
|---|---|
| SIGTERM, SIGINT, SIGQUIT | stop: drain, deliver, exit with 0; a second one leaves at once |
| SIGHUP | reload |
| SIGUSR2 | of a supervisor: replace the workers one by one |
| SIGUSR1, else SIGUSR2 | nothing but a line in the log: other servers reopen files or replace themselves |

There are handlers from the first line on, since imports take a part of a second and the defaults are no good there
either: Python answers SIGINT with a traceback, and the kernel SIGTERM, where this is process 1, with nothing.
"""

import asyncio
import logging
import math
import os
import signal
from collections.abc import Callable
from types import FrameType

log = logging.getLogger(__name__)

STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
NOTED = (signal.SIGUSR1, signal.SIGUSR2)
SAME_SIGNAL = 0.5  # seconds; make, timeout and terminals signal the whole group, then forward it to the child as well

_early: list[int] = []  # signals that came before there was a server to act on them


def guard(*, server: bool) -> None:
    """Handle signals from now on, until ``Signals`` does. ``server``: signals that don't stop are kept for it."""
    for number in STOP:
        signal.signal(number, _leave)
    for number in (signal.SIGHUP, *NOTED) if server else ():
        signal.signal(number, _remember)


def _leave(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)  # as shells count it


def _remember(number: int, _: FrameType | None) -> None:
    _early.append(number)
    del _early[1:-1]  # however many they are


class Signals:
    """The handlers of a server that runs in the present event loop.

    Args:
        stop: Called at the first signal that stops.
        leave: Called at the second one, before the process ends.
    """

    def __init__(self, stop: Callable[[], None], leave: Callable[[], None] | None = None) -> None:
        self._stop = stop
        self._leave = leave
        self._restart: Callable[[], None] | None = None
        self._reload: Callable[[], None] | None = None
        self._loop = loop = asyncio.get_running_loop()
        self._first = math.inf
        self._hung_up = False
        for number in STOP:
            loop.add_signal_handler(number, self._stop_or_exit)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        for number in NOTED:
            loop.add_signal_handler(number, self._note, number)
        if signal.SIGHUP in _early:
            self._hang_up()
        _early.clear()

    def reload_with(self, reload: Callable[[], None]) -> None:
        """Call ``reload`` for each SIGHUP from now on, and at once when one has come before."""
        self._reload = reload
        if self._hung_up:
            reload()

    def restart_with(self, restart: Callable[[], None]) -> None:
        """Call ``restart`` for each SIGUSR2 from now on."""
        self._restart = restart

    def _stop_or_exit(self) -> None:
        now = self._loop.time()
        if now - self._first > SAME_SIGNAL:
            log.warning("second signal: exiting without finishing")
            if self._leave is not None:
                self._leave()
            os._exit(1)
        self._first = min(self._first, now)
        self._stop()

    def _hang_up(self) -> None:
        if self._reload is None:
            self._hung_up = True  # the configuration of this start was read before
        else:
            self._reload()

    def _note(self, number: signal.Signals) -> None:
        if number == signal.SIGUSR2 and self._restart is not None:
            self._restart()
            return
        log.info("%s has no effect: the log goes to standard error, there is no file to reopen", number.name)
