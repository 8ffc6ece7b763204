"""The contract of webhook queues: events in, leased deliveries out, at least once.

An event is appended to its endpoint's *lane*. The lane opens when its batching window has passed or its size is
reached; a *claim* then merges what has gathered into one job, and leases it under a token. A job that was claimed
once stays whole: whatever happens to its worker, it comes back with the same id and the same events. Dead jobs go to
the ``failed`` list.

Lanes share the workers fairly: they are served in turn, and a lane may have ``max_in_flight`` jobs leased at once. With
``slow_start`` that allowance is earned: it starts at one, each delivery adds one, each unhealthy failure halves it.
Lanes that are down to one (and those never tried, which go first) are *on probation*: all of them together get at
most a share of a worker's slots, so that hung endpoints, however many, leave the other slots to the healthy ones. The
others are in classes by the slot time that their attempts take, and slow ones leave slots to fast ones
(``local/classes.py``).

Job text (one self-contained encoding everywhere, see ``jobs.py``):
``{"v":1,"id":…,"ep":…,"kind":"webhook","app":…,"attempt":0,"redrives":0,"created_ms":…,"events":[…]}``.
No secret and no signature is ever in it.

A queue may keep a *ledger* beside its jobs: of the channels that are occupied and the members that are present, as far
as endpoints hear of them. It is written in the very transactions that take the events about them, so that after a
crash it says which ends have yet to be reported, and to which endpoints.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import NamedTuple, Protocol, cast, runtime_checkable

from sockudo_py.errors import Unavailable
from sockudo_py.protocol.source import Source
from sockudo_py.protocol.values import value
from sockudo_py.queues.once import OnceKey

LONGEST_WAIT = 86_400.0  # seconds: of the retry presets'; the default of queues that get no other value
ENDPOINT_DELETED = "endpoint_deleted"  # the error class with which ``drop`` also forgets the lane's policy


class Append(NamedTuple):  # made for every event of every endpoint: a frozen dataclass takes three times as long
    """One event for one endpoint. ``event`` is a compact JSON object as UTF-8.

    ``solo``: the event must not share a request with others. It may stand for several, separated by commas, which are
    one job then, under its id. ``id`` is unique: appending it twice within the queue's
    deduplication time (five minutes) adds it once; queues in this process know the last 200,000 at most. ``own``: this
    process made the text, of a built-in event, and it has not left memory since. ``source`` is the connection that
    caused it, where that is known; no queue keeps it.
    """

    id: str
    endpoint: str
    app_id: str
    event: bytes
    created_ms: int
    solo: bool = False
    own: bool = False
    source: Source | None = None


# From the tuple of all fields, in half the time of ``Append(...)``: webhooks make one for each event.
make_append = cast(
    "Callable[[tuple[str, str, str, bytes, int, bool, bool, Source | None]], Append]", partial(tuple.__new__, Append)
)

# The fields of many of them, for ``map``: by place, which takes half as long as by name.
id_of: Callable[[Append], str] = itemgetter(0)
endpoint_of: Callable[[Append], str] = itemgetter(1)
app_id_of: Callable[[Append], str] = itemgetter(2)
event_of: Callable[[Append], bytes] = itemgetter(3)
created_of: Callable[[Append], int] = itemgetter(4)
source_of: Callable[[Append], Source | None] = itemgetter(7)


class Occupancy(NamedTuple):
    """A channel that is occupied or, with a ``user_id``, a member that is present: once, from first to last.

    ``id`` is unique, and grows with time. ``owed``: the endpoints that still have to get its end when others have got
    it; empty before the first has.
    """

    id: str
    app_id: str
    channel: str
    user_id: str | None = None
    socket_id: str | None = None
    owed: tuple[str, ...] = ()


class LedgerEntry(NamedTuple):
    """What a call of ``append`` writes to the ledger: how things stand when it has taken its events.

    Not ``over``: the occupancy is there. ``over``: nothing of it is left but what is ``owed``, and what the call
    refuses of ``events``, the ids of those of its events that report the end. ``new``: no earlier call named it.
    """

    occupancy: Occupancy
    over: bool = False
    events: tuple[str, ...] = ()
    new: bool = False


# From the tuple of all fields, as ``make_append``: one of each is made for every step of the ledger.
make_occupancy = cast(
    "Callable[[tuple[str, str, str, str | None, str | None, tuple[str, ...]]], Occupancy]",
    partial(tuple.__new__, Occupancy),
)
make_entry = cast(
    "Callable[[tuple[Occupancy, bool, tuple[str, ...], bool]], LedgerEntry]", partial(tuple.__new__, LedgerEntry)
)


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """How the lane of an endpoint gathers and how much of it may be in flight.

    Rate limits count claims (so retries too) in exact sliding windows; a lane over its limit waits, nothing is dropped.
    """

    window: float = 0.05  # seconds from the first gathered event to the claim; 0 with ``size`` 1: one event per job
    size: int = 100
    max_bytes: int = 262144
    max_in_flight: int = 8
    slow_start: bool = True
    ordered: bool = False  # one in flight; a retry goes to the head of the lane and gates it
    per_second: int | None = None
    per_minute: int | None = None
    per_hour: int | None = None
    longest_wait: float = 0.0  # seconds that a retry is put off at most


class FreshJob(NamedTuple):
    """The parts of a job that was never tried, for callers that need not read its text."""

    id: str
    endpoint: str
    app_id: str
    created_ms: int
    events_text: bytes


make_fresh = cast("Callable[[tuple[str, str, str, int, bytes]], FreshJob]", partial(tuple.__new__, FreshJob))


@value
class Claim:
    """A leased job. It must be answered by ``ack``, ``retry``, ``fail`` or ``release`` under its token.

    ``own``: how many events it has, if all of them are ``own`` as in ``Append``; else 0. ``fresh``: what ``job`` says,
    where it is ``own`` and the queue knows it.
    """

    token: str
    job: bytes
    own: int = 0
    fresh: FreshJob | None = None


@dataclass(frozen=True, slots=True)
class LaneDepth:
    """What one lane holds."""

    endpoint: str
    waiting: int
    in_flight: int
    gate_ms: int = 0
    pace_ms: int = 0  # slot time of an attempt, lately; 0: unknown
    delayed: int = 0  # jobs that wait to be tried again; ``depths`` leaves it out


@dataclass(frozen=True, slots=True)
class Depths:
    """How many jobs (events, where they have not been merged yet) are where. ``oldest_waiting_ms`` is an age;
    what a paused lane holds does not count for it.
    """

    waiting: int = 0
    active: int = 0
    delayed: int = 0
    failed: int = 0
    oldest_waiting_ms: int = 0
    lanes: tuple[LaneDepth, ...] = field(default=())


MOST_IDS = 1000


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Which dead jobs a call is about: the jobs that fit every given field. No field given: all.

    ``ids`` are of jobs, at most 1,000. ``since_ms`` and ``until_ms`` are Unix milliseconds: it failed for good then or
    later, and before. ``error_class`` is that of its last error. A text that is no job fits only when no field is
    given.
    """

    ids: frozenset[str] | None = None
    endpoint: str | None = None
    app_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    error_class: str | None = None

    def __post_init__(self) -> None:
        if self.ids is not None and len(self.ids) > MOST_IDS:
            raise ValueError(f"{len(self.ids)} ids of dead letters; at most {MOST_IDS} at a time")


ALL_DEAD = DeadLetters()


class QueueFull(Unavailable):
    """There was no room for ``refused``, in the order of the call; all other events of the call have been taken.

    Of each endpoint either nothing was refused, or everything from some event on.
    """

    def __init__(self, refused: Sequence[Append]) -> None:
        lanes = list(dict.fromkeys(event.endpoint for event in refused))
        more = f" and {len(lanes) - 3} others" if len(lanes) > 3 else ""
        super().__init__(f"the webhook queue is full for {', '.join(lanes[:3])}{more}: {len(refused)} events refused")
        self.refused = tuple(refused)


class Queue(Protocol):
    """A store of jobs. Each job is in exactly one place at any time: a lane, leased, delayed, or failed.

    Every method may raise ``Unavailable``; it then may or may not have taken effect, and repeating the same call is
    safe. ``ack``, ``retry``, ``fail`` and ``release`` are fenced: they return False, and change nothing, when the
    token's lease is gone (expired and taken back, or the store was emptied). A call repeated after ``Unavailable``
    returns False, too, when the first one had taken effect. Delays and leases run on the store's clock where it has
    one.
    """

    durable: bool  # appended events survive a kill -9 of this process
    keeps_ledger: bool  # else ``append`` gets no entries, and ``inherit`` finds nothing
    at_once: int  # how many events one ``append`` takes as a whole or not at all

    async def open(self) -> None:
        """Connect and check the store. Raises SockudoError with key and remedy when it is not usable."""

    async def close(self) -> None:
        """Close connections. Leases stay until they expire."""

    async def set_policy(self, endpoint: str, policy: LanePolicy) -> None:
        """Set how the lane of this endpoint behaves. A lane without a policy has the default one."""

    async def append(self, events: Sequence[Append], ledger: Sequence[LedgerEntry] = ()) -> None:
        """Add events to their lanes, as far as there is room (``local/headroom.py``). A durable queue has them then.

        ``ledger`` is written in the transaction that takes the events, also when it refuses some of them; with it there
        are at most ``at_once`` events, perhaps none.

        Raises:
            QueueFull: There was no room for some of them, which it names. The others are added.
            Unavailable: Unknown whether (some of) the events were added. Append them again, alone or with others: an id
                that is there already is not added a second time.
        """

    async def append_once(self, key: OnceKey, events: Sequence[Append]) -> bytes | None:
        """Add a key and events, at most ``at_once`` and perhaps none, in one step; None: that is done.

        Returns the value of an earlier call with this key (of this app, in the last 24 hours): then nothing was added.
        Of an app the latest 99,000 keys are known at least. Of two calls at the same time one adds, the other one gets
        its value.

        Raises:
            QueueFull: There was no room for some events, which it names. Neither the others nor the key were added.
            Unavailable: Unknown whether they were added. A repeated call that gets its own value did so.
        """

    async def inherit(self) -> Sequence[Occupancy]:
        """Take over what processes that are gone left in the ledger, and return it; no other process gets it, too.

        The first call comes before any ``append``; it finds what an earlier run of this server left, and servers that
        have not been heard of for long. Later ones, every ten seconds, find the latter, and tell others that this
        server is alive.
        """

    async def claim(self, worker: str, limit: int, lease: float) -> list[Claim]:
        """Lease up to ``limit`` jobs from open lanes, in turn, for ``lease`` seconds.

        Also returns expired leases to their lanes (to ``failed`` after too many), moves due delayed jobs to their
        lanes, and routes what an operator put into the list ``default``. A job that carries ``failed_ms`` (an
        operator moved it back from ``failed``) starts again at attempt 0 with ``redrives`` one higher. A text that is
        no job is handed out all the same (or, when not even its endpoint can be seen, put into ``failed``):
        ``jobs.decode`` refuses it, and the worker answers ``fail(token, jobs.poison(...))``. A claim repeated after
        ``Unavailable`` returns what the first one leased.
        """

    async def ack(self, token: str) -> bool:
        """Delivered: forget the job."""

    async def ack_all(self, tokens: Sequence[str]) -> set[str]:
        """Acknowledge several; return the tokens whose lease is gone."""

    async def retry(self, token: str, job: bytes, delay: float, *, healthy: bool = False) -> bool:
        """Failed for now: replace the leased job by ``job`` and make it claimable after ``delay`` seconds.

        ``healthy``: the endpoint answered in time, so its in-flight allowance is not cut.
        """

    async def fail(self, token: str, job: bytes, *, healthy: bool = False) -> bool:
        """Failed for good: put ``job`` (made by ``jobs.bury``) at the head of ``failed``. ``healthy`` as in
        ``retry``."""

    async def release(self, token: str, *, away: float = 0.0) -> bool:
        """Not tried: give the job back to the head of its lane, as it was.

        ``away``: seconds for which this process claims nothing of that lane. Others may.
        """

    async def renew(self, tokens: Sequence[str], lease: float) -> set[str]:
        """Extend leases; return the tokens whose lease is gone."""

    async def pause(self, endpoint: str) -> None:
        """Keep the lane's jobs but hand out none of them until ``resume``."""

    async def resume(self, endpoint: str) -> None:
        """Undo ``pause``."""

    async def paused_lanes(self) -> list[str]:
        """Return the endpoints whose lanes are paused."""

    async def gate(self, endpoint: str, seconds: float) -> None:
        """Hand out nothing of the lane for ``seconds``; 0: from now on again, whatever held it back until then.

        Unlike a pause it ends by itself, and a restart of the store may forget it. A retry of an ordered lane and a
        rate limit never shorten it.
        """

    async def drop(self, endpoint: str, error_class: str) -> int:
        """Move every waiting and delayed job of the endpoint to ``failed`` with this error class; return how many."""

    async def redrive(self, endpoint: str | None = None, limit: int = 1000) -> int:
        """Move dead jobs (of one endpoint, oldest first) back for delivery; return how many."""

    async def failed(self, offset: int = 0, limit: int = 50) -> list[bytes]:
        """Return dead jobs, newest first."""

    async def purge(self, endpoint: str | None = None) -> int:
        """Delete dead jobs (of one endpoint); return how many."""

    async def depths(self, lanes: int = 20) -> Depths:
        """Return figures, with the ``lanes`` deepest lanes."""

    async def lane(self, endpoint: str) -> LaneDepth:
        """Return what one lane holds; of an endpoint that has none: nothing."""

    async def wait(self, timeout: float) -> None:
        """Return when a claim may find something, at the latest after ``timeout`` seconds.

        Knows the due times that the last claim saw, and what this process did since; what others do (an operator's
        ``rpoplpush``, other nodes) it notices within half a second.
        """


@runtime_checkable
class ServesLanes(Protocol):
    """What every queue but that of SQS can do besides: hand out one lane to a reader, in order."""

    async def claim_lane(self, endpoint: str, limit: int, lease: float, size: int | None = None) -> list[Claim]:
        """Lease the first ``limit`` jobs of a lane for ``lease`` seconds.

        Neither a pause nor a rate limit nor the batching window holds them back, and whatever of the lane is leased
        is taken back first, into its order: so a reader that begins anew gets what the last one did not acknowledge.
        A job is no poison for it, however often its lease expired before. ``size``: how many events a job gathers at
        most, if that is fewer than the lane's policy says.
        """


@runtime_checkable
class ChoosesDead(Protocol):
    """What every queue but that of SQS can do besides: choose among its dead jobs.

    It looks at them one by one, 1,000 at a time; so a call is not one step, and may miss jobs that die meanwhile.
    """

    async def find_dead(self, which: DeadLetters, offset: int = 0, limit: int = 50) -> list[bytes]:
        """Return dead jobs, newest first."""

    async def redrive_dead(self, which: DeadLetters, limit: int = 1000) -> int:
        """Move dead jobs, oldest first, back for delivery; return how many."""

    async def purge_dead(self, which: DeadLetters) -> int:
        """Delete dead jobs; return how many."""
