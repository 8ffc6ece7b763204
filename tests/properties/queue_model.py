"""What a queue should do, without any store: the model that the drivers are compared with."""

from dataclasses import dataclass, field, replace

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, LanePolicy
from sockudo_py.queues.jobs import Job, JobError
from sockudo_py.queues.local.headroom import takes

SIZE, WINDOW, LEASE, IN_FLIGHT, CRASHES, BOUND = 3, 10.0, 30.0, 3, 2, 16
ENDPOINTS = {"wh_a": "app", "wh_b": "app", "wh_ordered": "another app"}  # and their apps
POLICY = LanePolicy(window=WINDOW, size=SIZE, max_in_flight=IN_FLIGHT, slow_start=False)


@dataclass
class Held:
    """A leased job, and its tokens: one of each driver. ``raw``: as it lies in the store, dead marks included."""

    raw: Job
    tokens: tuple[str, ...]
    deadline: float


@dataclass
class ModelLane:
    """What waits for one endpoint."""

    ordered: bool
    ready: list[Job] = field(default_factory=list)
    fresh: list[Append] = field(default_factory=list)
    window_end: float = 0.0
    gate: float = 0.0
    paused: bool = False

    def pop(self, endpoint: str) -> Job:
        if self.ready:
            return self.ready.pop(0)
        batch = [self.fresh.pop(0)]
        while self.fresh and not batch[0].solo and not self.fresh[0].solo and len(batch) < SIZE:
            batch.append(self.fresh.pop(0))
        text = b"[" + b",".join(event.event for event in batch) + b"]"
        own = len(batch) if all(event.own for event in batch) else 0
        return Job(batch[0].id, endpoint, ENDPOINTS[endpoint], 1, text, own=own)


def handed_out(raw: Job) -> Job:
    """Return a stored job as a claim shows it."""
    if raw.failed_ms is None:
        return raw
    return replace(raw, attempt=0, redrives=raw.redrives + 1, failed_ms=None, error=None)


def without_times(job: Job) -> Job:
    """Return a job with what differs between the clocks of the drivers made equal."""
    return job if job.failed_ms is None else replace(job, failed_ms=0)


class Model:
    """A queue in plain lists. Time is moved by whoever holds it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lanes = {endpoint: ModelLane(endpoint == "wh_ordered") for endpoint in ENDPOINTS}
        self.held: list[Held] = []
        self.delayed: list[tuple[float, Job]] = []
        self.failed: list[Job] = []  # newest first
        self.crashes: dict[str, int] = {}
        self.lost: list[tuple[str, ...]] = []  # tokens whose lease is gone
        self.appended: list[str] = []

    def append(self, batch: list[Append]) -> list[str]:
        """Take what there is room for; return the ids of the rest."""
        before = self.count_all()
        refused: list[str] = []
        for event in batch:
            lane = self.lanes[event.endpoint]
            if not takes(self.count(event.endpoint), self.count_app(event.app_id), self.count_all(), BOUND):
                refused.append(event.id)
                assert self.count(event.endpoint) or self.count_all() >= BOUND, "an empty lane was refused"
                continue
            if not lane.fresh:
                lane.window_end = self.now + WINDOW
            lane.fresh.append(event)
            self.appended.append(event.id)
        assert self.count_all() <= max(before, BOUND)
        return refused

    def count(self, endpoint: str) -> int:
        """Return how much a lane holds."""
        lane = self.lanes[endpoint]
        later = sum(job.endpoint == endpoint for _, job in self.delayed)
        return len(lane.ready) + len(lane.fresh) + later

    def count_app(self, app_id: str) -> int:
        return sum(self.count(endpoint) for endpoint, app in ENDPOINTS.items() if app == app_id)

    def count_all(self) -> int:
        return sum(map(self.count, ENDPOINTS)) + len(self.held)

    def claim(self) -> dict[str, list[Job]]:
        """Take back what is overdue, and return what every lane hands out."""
        overdue = sorted((one for one in self.held if one.deadline <= self.now), key=lambda one: one.deadline)
        for one in reversed(overdue):
            self.held.remove(one)
            self.lost.append(one.tokens)
            self.crashes[one.raw.id] = self.crashes.get(one.raw.id, 0) + 1
            if self.crashes[one.raw.id] > CRASHES:
                del self.crashes[one.raw.id]
                self.bury(one.raw, jobs.crashed(CRASHES + 1))
            else:
                self.lanes[one.raw.endpoint].ready.insert(0, one.raw)
        for item in sorted(self.delayed, key=lambda item: item[0]):
            if item[0] <= self.now:
                self.delayed.remove(item)
                self.lanes[item[1].endpoint].ready.append(item[1])
        expected: dict[str, list[Job]] = {}
        for endpoint, lane in self.lanes.items():
            flying = sum(one.raw.endpoint == endpoint for one in self.held)
            got = expected[endpoint] = []
            while not lane.paused and flying < (1 if lane.ordered else IN_FLIGHT) and lane.gate <= self.now:
                if not lane.ready and not (lane.fresh and (len(lane.fresh) >= SIZE or lane.window_end <= self.now)):
                    break
                got.append(lane.pop(endpoint))
                flying += 1
        return expected

    def bury(self, raw: Job, error: JobError) -> None:
        """Put a job among the dead ones."""
        self.failed.insert(0, replace(raw, failed_ms=0, error=error, own=0))

    def retry(self, job: Job, delay: float) -> None:
        """Let a job come back later; an ordered lane waits for it."""
        self.crashes.pop(job.id, None)
        lane = self.lanes[job.endpoint]
        if lane.ordered:
            lane.ready.insert(0, job)
            lane.gate = max(lane.gate, self.now + delay)
        else:
            self.delayed.append((self.now + delay, job))

    def drop(self, endpoint: str, error: JobError) -> int:
        """Bury all that waits in a lane; return how many jobs."""
        lane = self.lanes[endpoint]
        dropped = []
        while lane.ready or lane.fresh:
            dropped.append(lane.pop(endpoint))
        gone = sorted((item for item in self.delayed if item[1].endpoint == endpoint), key=lambda item: item[0])
        self.delayed = [item for item in self.delayed if item not in gone]
        dropped += [job for _, job in gone]
        for job in dropped:
            self.bury(job, error)
        return len(dropped)

    def redrive(self, endpoint: str | None, limit: int) -> int:
        """Let the oldest dead jobs back into their lanes; return how many."""
        wanted = [job for job in reversed(self.failed) if endpoint in (None, job.endpoint)][:limit]
        for job in wanted:
            self.failed.remove(job)
            self.lanes[job.endpoint].ready.append(job)
        return len(wanted)
