"""``python -m sockudo_py`` and the command ``sockudo-py``."""

import os
import sys

from sockudo_py.imports import uncollected


def main() -> int:
    """Run the command line of this process and return the exit code."""
    # Plugins of pydantic are found by reading what every installed package says of itself, and would see the secrets.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with uncollected():
        from sockudo_py import cli
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
