"""Starts processes and notices their ends, and those of processes that it inherits as process 1."""

import asyncio
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import sockudo_py
from sockudo_py.process import notify

Ended = Callable[[int], None]  # gets the exit code, negative for a signal


class Children:
    """The child processes of this one. ``start`` it in the running loop, which must not have other children."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[subprocess.Popen[bytes], Ended]] = {}

    def start(self) -> None:
        """Begin to notice ends."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self.reap)

    def spawn(self, arguments: Sequence[str], descriptors: Sequence[int], ended: Ended) -> int:
        """Run the command line of this server in another process; return its id. Raises OSError.

        The process has a group of its own: what a terminal sends to the group of this one is for the supervisor.

        Args:
            arguments: What stands behind ``sockudo-py``.
            descriptors: That it inherits, under the same numbers.
            ended: Called with its exit code.
        """
        process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-P", "-m", "sockudo_py", *arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            process_group=0,
            env=_environment(os.environ),
        )
        self._running[process.pid] = process, ended
        return process.pid

    def reap(self) -> None:
        """Take note of all processes that have ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            found = self._running.pop(pid, None)
            if found is not None:
                process, ended = found
                process.returncode = os.waitstatus_to_exitcode(status)  # it must not wait for it again
                ended(process.returncode)

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a child that may have ended."""
        if pid in self._running:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill_all(self) -> None:
        """End all children at once."""
        for pid in list(self._running):
            self.signal(pid, signal.SIGKILL)


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a worker: it finds this package, wherever this process has found it."""
    made = {name: value for name, value in env.items() if name != notify.VARIABLE}
    folder = str(Path(sockudo_py.__file__).resolve().parents[1])
    if folder not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        made["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, env.get("PYTHONPATH"))))
    return made
