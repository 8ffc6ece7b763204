"""``workers``: several processes that serve one port, and the supervisor that starts and replaces them.

Each worker is a server of its own, a node of the cluster like any other; ``wiring`` makes it. The supervisor takes no
clients. It has the port, so that a worker can be replaced without losing a connection, and the metrics port.
"""

from typing import Final

WORKER_COMMAND: Final = "worker"  # of the command line: what the supervisor starts
