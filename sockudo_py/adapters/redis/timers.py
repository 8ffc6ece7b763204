"""Timers by their names: of two of a name the earlier one counts."""

import asyncio
from collections.abc import Callable


class Timers:
    """See above. After ``stop`` none is armed any more."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._armed: dict[str, asyncio.TimerHandle] = {}
        self._stopped = False

    def arm(self, name: str, seconds: float, run: Callable[[], None]) -> None:
        """Run something once after ``seconds``; a timer of the same name that is due earlier stays."""
        if self._stopped:
            return
        at = self._loop.time() + seconds
        armed = self._armed.get(name)
        if armed is not None:
            if armed.when() <= at and not armed.cancelled():
                return
            armed.cancel()

        def fire() -> None:
            del self._armed[name]
            run()

        self._armed[name] = self._loop.call_later(seconds, fire)

    def stop(self) -> None:
        """Cancel all."""
        self._stopped = True
        for timer in self._armed.values():
            timer.cancel()
