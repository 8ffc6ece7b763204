"""``python -m sockudo_py`` is the same program as ``sockudo-py``."""

import sys

from sockudo_py.cli import main

if __name__ == "__main__":
    sys.exit(main())
