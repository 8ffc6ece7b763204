"""Classes of lanes, and how the slots of a worker are divided among them: why slow endpoints don't hold up fast ones.

A slot comes back when its attempt has ended; it can't be taken back before. So slots are kept free
*beforehand*: lanes whose answers take long may hold only some slots, however many lanes there are, and the fewer the
slower they are. An endpoint then waits for those of its own speed, and for no slower ones.

Pure. ``lua/queue_common.lua`` and ``lua/queue_turn.lua`` say the same for Redis. docs/decisions/0010 has the figures.
"""

import sys
from collections.abc import Sequence

PACES = (1024, 256, 64)  # ms of slot time: a class of lanes that take longer, each; the others are the fast ones
LONGEST = 4096  # ms: an attempt counts as no more, so that one bad moment is soon forgotten
NEW, PROBATION, SLOWEST = range(3)
FAST = SLOWEST + len(PACES)
CLASSES = FAST + 1


def class_of(pace: int) -> int:
    """Return the class of a lane that works, whose attempts take ``pace`` ms of slot time lately."""
    for number, most in enumerate(PACES):
        if pace > most:
            return SLOWEST + number
    return FAST


def smoothed(pace: int | None, used: int) -> int:
    """Return the pace after one more attempt, in ms: 7/8 old, 1/8 new, as TCP smooths round trips.

    ``used`` is what *all* slots of the lane have cost since its last attempt ended. So attempts that hang count while
    they hang, and on average it is the time of an attempt, whichever end first.
    """
    used = min(used, LONGEST)
    return used if pace is None else (7 * pace + used) // 8


class SlotPolicy:
    """Divides the slots of a worker.

    ``most[c]`` is how many slots class ``c`` and all slower ones may hold together, for each but the fast class: the
    probation share, and then each class half of what the slower ones leave. So there are always slots that only faster
    lanes can get.

    Some of these are a class's own: there it is served before all faster ones, so that no class starves. Beyond, the
    faster go first. ``turns`` says which classes are served after each other, and up to how many jobs each.

    With few slots (up to 8, or a share of nearly all) some classes have no slot of their own. Then all are served
    together, whichever lane has waited longest: else these would starve while the others are busy.
    """

    __slots__ = ("most", "turns")

    def __init__(self, slots: int, probation_share: float) -> None:
        pool = max(1, int(slots * probation_share))
        most = [pool, pool]
        left = slots - slots * probation_share
        for _ in PACES:
            left /= 2
            most.append(max(pool, int(slots - left)))
        self.most = tuple(most)
        own = tuple(self.most[c] - self.most[c - 1] for c in range(SLOWEST, FAST))
        self.turns: tuple[tuple[Sequence[int], int], ...]
        if not all(own):
            self.turns = (((NEW,), pool), (range(CLASSES), sys.maxsize))
            return
        each = (
            *enumerate((pool, pool, *own)),
            (FAST, sys.maxsize),
            *((c, most[c]) for c in range(FAST - 1, PROBATION, -1)),
        )
        self.turns = tuple(((c,), number) for c, number in each)

    def may(self, held: Sequence[int], standing: int) -> bool:
        """Return whether a worker that holds these numbers of jobs of each class may have one more of this class."""
        if standing == FAST:
            return True
        together = sum(held[:standing])
        for c in range(standing, FAST):
            together += held[c]
            if together >= self.most[c]:
                return False
        return True
