"""``python -m sockudo_py`` and the command ``sockudo-py``."""

import logging
import os
import sys

from sockudo_py.process.imports import gc_paused
from sockudo_py.process.signals import guard


def main() -> int:
    """Run the command line of this process and end it with the exit code."""
    guard(server=sys.argv[1:2] in (["start"], ["worker"]))
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


if __name__ == "__main__":
    main()
