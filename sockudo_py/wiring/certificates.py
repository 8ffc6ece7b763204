"""A renewed certificate is taken up while the server runs: new handshakes show it, open connections keep theirs."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

from sockudo_py.config import Config
from sockudo_py.errors import ConfigError
from sockudo_py.wiring.tls import server_context

log = logging.getLogger(__name__)

INTERVAL = 1.0  # seconds between looks

Contents = tuple[bytes | None, bytes | None]  # of both files; None: it can't be read


class Certificates:
    """Looks at the files of ``ssl`` about once a second, through symbolic links.

    A pair that can't be used (half of it is written, or missing) leaves the present one in force. The log says so when
    the files have been still from one look to the next: until then a program may be about to write the other half.

    Args:
        config: Where the files are.
        in_force: What they held when the context of the start was made.
        use: Takes the context for new handshakes.
        interval: Seconds between looks.
    """

    def __init__(
        self,
        config: Config,
        in_force: Contents,
        use: Callable[[ssl.SSLContext], None],
        *,
        interval: float = INTERVAL,
    ) -> None:
        self._config = config
        self._use = use
        self._interval = interval
        self._in_force = in_force
        self._complained: Contents | None = None
        self._before = in_force
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="certificates: watch")

    def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()

    def take(self, config: Config, context: ssl.SSLContext, contents: Contents) -> None:
        """Use a context that was made of these files, and watch those of ``config`` from now on."""
        self._config = config
        renewed, self._in_force = contents != self._in_force, contents
        if renewed:
            self._use(context)
            log.info("the certificate in %s is in force: new connections get it", config.ssl.cert_path)

    async def look(self) -> None:
        """Look at the files once, and use them if they are new."""
        config = self._config
        contents = await asyncio.to_thread(_read, config)
        before, self._before = self._before, contents
        if contents in (self._in_force, self._complained):
            return
        try:
            context = await asyncio.to_thread(server_context, config)
        except ConfigError as error:
            if contents == before:
                self._complained = contents
                for problem in error.problems:
                    log.error("%s; the present certificate stays in force", problem)
            return
        if config is self._config:  # else a reload has come in between
            self._complained = None
            self.take(config, context, contents)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except Exception:  # top of the task: keep watching
                log.exception("looking for a renewed certificate failed")


def read_pair(config: Config) -> tuple[ssl.SSLContext, Contents]:
    """Return the context for the files of ``ssl``, and their contents. Raises ConfigError. Reads files."""
    contents = _read(config)  # first: what is written from now on is new at the next look
    return server_context(config), contents


def _read(config: Config) -> Contents:
    return _content(config.ssl.cert_path), _content(config.ssl.key_path)


def _content(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
