"""The file descriptors of this process: a client takes one, and nearly everything else takes some, too.

The kernel gives a new descriptor the lowest free number. So the number of a descriptor that was opened right after a
connection shows how many are open in all, so nothing has to be counted. When the number is too high, the
connection has to go.
"""

import errno
import logging
import os
import resource
import socket
import sys
import time
from collections.abc import Callable

from sockudo_py.errors import SockudoError
from sockudo_py.metrics import Metrics

log = logging.getLogger(__name__)

LEAST = 128  # below it there is hardly room for the server itself
REMEDY = "raise the limit with `ulimit -n`, LimitNOFILE= of systemd or --ulimit nofile= of docker"
_OWN = 64  # imports, files of apps, the queue's, name look-ups, scrapes
_AT_START = 32  # what is open before anybody has come
_VISITORS = 4096  # connections beside the clients' at most: requests, and clients that are being refused
_MOST_IDLE = 512  # connections to receivers that are kept open for the next request
_MARGIN = 16  # connections past the last one that may stay if one that waits for a request goes instead
_OPEN = 2  # a descriptor that is open already: standard error
_QUIET = 60.0  # seconds between two warnings
_ENDLESS = 1 << 20  # wanted where there is no hard limit; kernels refuse more (fs.nr_open)


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard one; log a warning when the system refuses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENDLESS if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as problem:
        log.warning("can't raise the limit of open files from %d to %d (%s)", soft, wanted, problem)


def open_limit() -> int:
    """Return how many files this process may have open now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _ENDLESS if soft == resource.RLIM_INFINITY else soft


def is_shortage(problem: BaseException) -> bool:
    """Return whether ``problem`` says that no descriptor was free, in this process or on the whole machine."""
    if isinstance(problem, ImportError):  # the dynamic linker has only words for it
        return os.strerror(errno.EMFILE) in str(problem) or os.strerror(errno.ENFILE) in str(problem)
    return isinstance(problem, OSError) and problem.errno in (errno.EMFILE, errno.ENFILE)


def lowest_free() -> int:
    """Return the number that the next descriptor gets; beyond every limit when there is none."""
    try:
        number = os.dup(_OPEN)
    except OSError as problem:
        if is_shortage(problem):
            return sys.maxsize
        with socket.socket(socket.AF_UNIX) as probe:  # standard error is closed: this way takes three times as long
            return probe.fileno()
    os.close(number)
    return number


class Descriptors:
    """Decides who may take the last descriptors, and warns when they run short.

    From the lowest number up: clients and other connections; then the metrics port; the rest is the server's.

    Args:
        limit: How many files may be open.
        deliveries: Webhook requests that may be under way.
        metrics: Gets ``out_of_descriptors_total``.
        clock: Seconds, never going back.
        lowest_free: Returns the number that the next descriptor gets.

    Raises SockudoError when ``limit`` is below LEAST.
    """

    def __init__(
        self,
        limit: int,
        *,
        deliveries: int,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        lowest_free: Callable[[], int] = lowest_free,
    ) -> None:
        if limit < LEAST:
            raise SockudoError(f"the limit of open files is {limit}, at least {LEAST} are needed; {REMEDY}")
        self.limit = limit
        self.idle_requests = min(_MOST_IDLE, limit // 16)
        needed = _OWN + deliveries + self.idle_requests
        reserve = min(needed, limit // 2)
        self.suffices = reserve == needed  # for all the deliveries at once
        self.connections = limit - reserve
        self.scrapes = limit - reserve // 2
        self.clients = self.connections - _AT_START - min(_VISITORS, limit // 8)
        self._short = metrics.counter(
            "out_of_descriptors_total",
            "Times that no file descriptor was free, by the use that needed it",
            ("use",),
        )
        self._clock = clock
        self._lowest_free = lowest_free
        self._quiet_until = float("-inf")

    def admits(self, make_room: Callable[[], bool]) -> bool:
        """Return whether the connection may stay that was accepted last, in this turn of the loop.

        When it is one too many, it may still if ``make_room`` ends another one; that returns whether it could.
        """
        free = self._lowest_free()
        if free <= self.connections or (free <= self.connections + _MARGIN and make_room()):
            return True
        self.short("connection")
        return False

    def admits_scrape(self) -> bool:
        """Return whether the next connection to the metrics port may stay."""
        if self._lowest_free() < self.scrapes:
            return True
        self.short("scrape")
        return False

    def client_refused(self) -> None:
        """Take note that a client was refused since ``clients`` are here already."""
        self.short("client")

    def short(self, use: str) -> None:
        """Count that there was no descriptor for ``use``, and warn, once a minute at most."""
        self._short.add(use)
        now = self._clock()
        if now < self._quiet_until:
            return
        self._quiet_until = now + _QUIET
        log.warning(
            "out of file descriptors, needed for: %s. The limit is %d open files, %d of them for connections; %s",
            use,
            self.limit,
            self.connections,
            REMEDY,
        )
