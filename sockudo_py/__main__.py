"""``python -m sockudo_py`` and the command ``sockudo-py``."""

import logging
import os
import signal
import sys
from types import FrameType

from sockudo_py.process.imports import gc_paused


def main() -> int:
    """Run the command line of this process and end it with the exit code."""
    # From the first moment on, until the server has handlers of its own. No default would do: Python's answer to SIGINT
    # is a traceback, and in a container, where this is process 1, the kernel's answer to SIGTERM is nothing.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    # Plugins of pydantic are found by reading what every installed package says of itself, and would see the secrets.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with gc_paused():
        from sockudo_py.cli import main as cli
    code = cli.main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: the interpreter would wait for threads, and a name look-up can hang in one for half a minute.
    os._exit(code)


def _leave(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)  # as shells count it


if __name__ == "__main__":
    main()
