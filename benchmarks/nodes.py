"""Several nodes over one Redis, all on the servers' core, as one subject."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.harness import Subject
from benchmarks.subjects import Options, Starter
from benchmarks.webhook_pairs import Store, redis

CLUSTERS: Final = ("sockudo_py", "Sockudo")  # the servers that are measured over Redis


@dataclass(frozen=True, slots=True)
class Nodes:
    """Running nodes, and their Redis."""

    name: str
    subjects: list[Subject]
    store: Store

    def cpu(self) -> float:
        """Return the CPU seconds of the nodes so far."""
        return sum(subject.cpu() for subject in self.subjects)

    def redis_cpu(self) -> float:
        """Return the CPU seconds of Redis so far."""
        return self.store.subject.cpu()


@contextlib.contextmanager
def nodes(starter: Starter, number: int, options: Options | None = None) -> Iterator[Nodes]:
    """Run this number of nodes over a Redis of their own. Each node has these ``options``."""
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(redis())
        options = replace(options or Options(), redis_port=store.subject.port)
        subjects = [stack.enter_context(starter(options)) for _ in range(number)]
        yield Nodes(starter.name, subjects, store)
