"""Doing something to many clients without keeping the others waiting."""

from collections.abc import Callable, Sequence

from sockudo_py.hub import Sink


def in_slices(
    clients: Sequence[Sink],
    step: Callable[[Sink], None],
    *,
    size: int,
    interval: float,
    call_later: Callable[[float, Callable[[], None]], object],
    done: Callable[[], None] | None = None,
) -> None:
    """Call ``step`` with each client, ``size`` at once and then every ``interval`` seconds; in the end, ``done``."""
    position = 0

    def turn() -> None:
        nonlocal position
        begin, position = position, position + size
        for client in clients[begin:position]:
            step(client)
        if position < len(clients):
            call_later(interval, turn)
        elif done is not None:
            done()

    turn()
