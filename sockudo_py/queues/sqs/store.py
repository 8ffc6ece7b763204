"""Between SQS and the books of a process: what is received, written, hidden for longer, deleted, and given back."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from sockudo_py.errors import Unavailable
from sockudo_py.links.micro_batcher import MicroBatcher
from sockudo_py.metrics import Metrics
from sockudo_py.process.tasks import cancel
from sockudo_py.queues import jobs
from sockudo_py.queues.clock import QueueClock
from sockudo_py.queues.local.book import LeaseBook
from sockudo_py.queues.local.lanes import Entry
from sockudo_py.queues.metrics import QueueMetrics
from sockudo_py.queues.sqs.dead import DeadJobs
from sockudo_py.queues.sqs.link import SqsLink
from sockudo_py.queues.sqs.messages import BATCH, MOST_BYTES, WHOLE, Draft, Message
from sockudo_py.queues.sqs.received import ReceivedMessage, ReceivedMessages, again
from sockudo_py.queues.waker import Waker

log = logging.getLogger(__name__)

_EARLY = 500  # ms before it is due that a job is taken
_PARK_FIRST, _PARK_LONGEST = 2.0, 120.0  # seconds


class SqsStore:
    """Messages as entries of a book.

    Args:
        link: The way to SQS.
        book: Where entries go.
        waker: Hears that something came.
        url: Of the queue of jobs.
        dead: The dead ones.
        hide: Seconds for which a received message is hidden at a time.
        wait: Seconds of a long poll.
        prefetch: How many messages are held at most.
        parallel: How many calls receive at a time.
        max_crashes: A message that showed again more often is poison.
        metrics: Where to count.
        clock: The queue's.
        longest_wait: Ms. No delayed job waits longer: the clock of the server that delayed it may have been ahead.
    """

    def __init__(
        self,
        link: SqsLink,
        book: LeaseBook,
        waker: Waker,
        *,
        url: str,
        dead: DeadJobs,
        hide: int,
        wait: int,
        prefetch: int,
        parallel: int,
        max_crashes: int,
        metrics: Metrics,
        clock: QueueClock,
        longest_wait: int,
    ) -> None:
        self.link = link
        self.url = url
        self.dead = dead
        self.held = ReceivedMessages(book, prefetch)
        # Batches that SQS may not have yet; their texts are final.
        self.merging: list[tuple[Entry, list[ReceivedMessage]]] = []
        self.starved = False  # the last claim found too little: look further than there is room, once
        self.polling: asyncio.Task[None] | None = None
        self._book = book
        self._waker = waker
        self._hide = hide
        self._wait = wait
        self._parallel = parallel
        self._max_crashes = max_crashes
        self._clock = clock
        self._longest_wait = longest_wait
        self._order = 0
        self._undeleted: list[ReceivedMessage] = []
        self._fetching = asyncio.Lock()
        self._keeping = asyncio.create_task(self._keep(), name="webhook-sqs-keeper")
        self._deletes: MicroBatcher[str, bool | Unavailable] = MicroBatcher(self._delete_all, BATCH)
        self._count = QueueMetrics(metrics)
        self._parked = metrics.counter(
            "webhook_sqs_parked_total", "Messages put back because their lane was full in the process that got them"
        )

    async def close(self) -> None:
        """Give back what waits here. Leased messages show again by themselves."""
        await cancel(self._keeping)
        if self.polling is not None:
            await self.polling
        await self._deletes.close()
        try:
            await self._give_back()
        except Unavailable as error:
            log.warning("webhook jobs that wait here show again later", extra={"error": str(error)})

    def poll(self) -> None:
        """Begin to wait for messages, if there is room and no wait is under way."""
        if self.polling is None and (self.held.room > 0 or self.starved):
            self.polling = asyncio.create_task(self._poll(), name="webhook-sqs-poll")

    def draft(self, text: bytes, *, state: int = WHOLE, due_ms: int = 0) -> Draft:
        """Return a message that comes after those made before it."""
        self._order += 1
        return Draft(text, state, due_ms, order=self._order)

    async def send(self, drafts: Sequence[Draft], sent: Callable[[Draft], None] | None = None) -> None:
        """Send to the queue of jobs; ``sent`` gets each that SQS has taken. Raises Unavailable."""
        self._refused(await self.link.send(self.url, drafts, sent))

    async def delete(self, held: ReceivedMessage) -> bool:
        """Delete the message of a job that is done; False when it was no longer ours. Raises Unavailable."""
        deleted = await self._deletes.ask(held.handle)
        if isinstance(deleted, Unavailable):
            raise Unavailable(str(deleted)) from deleted
        return deleted

    async def bury(self, texts: Sequence[bytes]) -> None:
        """Add dead jobs. Raises Unavailable."""
        self._count.trimmed.add(amount=await self.dead.put(texts))

    async def _poll(self) -> None:
        """Wait for messages. Trouble is left to the next claim, which asks by itself."""
        try:
            messages = await self.link.receive(self.url, hide=self._hide, wait=self._wait)
            await self._intake(messages, self._now())
        except Unavailable as error:
            log.debug("polling SQS failed", extra={"error": str(error)})
        except Exception:
            log.exception("polling SQS failed")
        finally:
            self.polling = None
            self._waker.soon()

    async def fetch(self, now: int) -> None:
        """Receive messages until none comes or the room is used up."""
        async with self._fetching:
            calls = 1
            while self.polling is None and (self.held.room > 0 or self.starved):
                self.starved = False  # beyond the room, a single time
                asked = (self.link.receive(self.url, hide=self._hide) for _ in range(calls))
                answers = await asyncio.gather(*asked, return_exceptions=True)
                lists = [answer for answer in answers if not isinstance(answer, BaseException)]
                await self._intake([message for messages in lists for message in messages], now)
                for answer in answers:
                    if isinstance(answer, BaseException):
                        raise answer
                if not all(lists):
                    return
                calls = max(1, min(self._parallel, self.held.room // BATCH))

    async def _intake(self, messages: list[Message], now: int) -> None:
        """Put messages into their lanes, and back where that can't be."""
        useless: list[Message] = []
        later: list[tuple[Message, Draft]] = []
        dead: list[tuple[Message, bytes]] = []
        share, wall = self.held.share(), self._clock.wall()
        for message in sorted(messages, key=lambda one: one.place):
            head = jobs.header(message.text)
            self._count.expired.add(amount=int(message.receives > 1))
            if self.held.known(message):
                continue
            left = self._clock.left(message.due_ms, self._longest(head))
            if left > _EARLY:
                later.append((message, again(message, wall + left)))
            elif head is None:
                dead.append((message, jobs.poison(message.text, wall, "its endpoint can't be seen")))
            elif message.receives - 1 > self._max_crashes:
                dead.append((message, jobs.bury(message.text, wall, jobs.crashed(message.receives - 1))))
            elif len(self._book.lanes[head[1]]) >= share:
                self._parked.add()
                wait = min(_PARK_LONGEST, _PARK_FIRST * 2 ** min(message.parked, 10))
                later.append((message, again(message, wall + round(wait * 1000))))
            elif self.held.copy_of_another(message, head[0]):
                self._count.duplicates.add()
                useless.append(message)
            else:
                self.held.add(head[0], head[1], message, now)
        if later:
            await self.send([draft for _, draft in later])
        if dead:
            self._count.poison.add(amount=len(dead))
            await self.bury([text for _, text in dead])
        gone = [*useless, *(message for message, _ in later), *(message for message, _ in dead)]
        if gone:
            await self.link.delete(self.url, [message.handle for message in gone])

    def lease(
        self,
        worker: str,
        limit: int,
        lease_ms: int,
        now: int,
        claims: dict[str, ReceivedMessage],
        order: dict[str, int],
    ) -> bool:
        """Lease jobs into ``claims``. Returns whether there are batches among them, which must be written first."""
        merged = False
        for token, entry in self._book.claim(worker, limit, lease_ms, now):
            if not isinstance(entry, ReceivedMessage):
                raise AssertionError("an entry of another driver")
            order.setdefault(entry.ident, len(order))
            if entry.gathered == 1:
                claims[token] = entry
                continue
            merged = True
            self._book.end(token, now)
            self._book.lanes[entry.endpoint].unnote_claim(token)
            self.merging.append((entry, self.held.parts(entry)))
        return merged

    async def write_merged(self) -> None:
        """Make each batch a message, then delete the messages of its events."""
        batches = {}
        for entry, parts in self.merging:
            draft = self.draft(entry.text)
            batches[draft.order] = (draft, entry, parts)
        written: list[ReceivedMessage] = []

        def note(draft: Draft) -> None:
            _, entry, parts = batches[draft.order]
            written.extend(parts)
            self.merging = [one for one in self.merging if one[0] is not entry]

        if batches:
            try:
                await self.send([draft for draft, _, _ in batches.values()], note)
            finally:
                await self.discard(written)

    def _longest(self, head: tuple[str, str] | None) -> int:
        """Return how many ms a job with this id and endpoint may be delayed."""
        if head is None:
            return self._longest_wait
        return max(self._longest_wait, round(self._book.lanes[head[1]].policy.longest_wait * 1000))

    async def bury_crashed(self, entries: Sequence[ReceivedMessage]) -> None:
        """Put jobs that took their worker down too often among the dead ones. Raises Unavailable."""
        if entries:
            wall = self._clock.wall()
            self._count.poison.add(amount=len(entries))
            await self.bury([jobs.bury(held.text, wall, jobs.crashed(held.crashes)) for held in entries])
            await self.discard(entries)

    async def discard(self, entries: Sequence[ReceivedMessage]) -> None:
        """Delete messages whose jobs live on elsewhere. When that fails it is tried again as long as it can work."""
        self.held.drop(entries)
        if entries:
            results = await self.link.delete(self.url, [held.handle for held in entries])
            failed = [one for one, result in zip(entries, results, strict=True) if isinstance(result, Unavailable)]
            self._undeleted += failed

    async def _delete_all(self, handles: Sequence[str]) -> list[bool | Unavailable]:
        return await self.link.delete(self.url, handles)

    async def extend(self, entries: Sequence[ReceivedMessage]) -> set[ReceivedMessage]:
        """Hide messages for longer. Returns the messages that this process has lost. Raises Unavailable."""
        until = self._now() + self._hide * 1000
        results = await self.link.hide(self.url, [held.handle for held in entries], self._hide)
        error = None
        lost = set()
        for held, result in zip(entries, results, strict=True):
            if isinstance(result, Unavailable):
                error = result
            elif result:
                held.hidden_until = until
            else:
                held.hidden_until = 0
                lost.add(held)
        if error is not None:
            raise Unavailable(str(error)) from error
        return lost

    async def _keep(self) -> None:
        """Go on hiding what this process holds."""
        while True:
            await asyncio.sleep(self._hide / 3)
            try:
                soon = self._now() + self._hide * 700
                await self.extend([held for held in self.held if self._now() < held.hidden_until < soon])
                undeleted = [held for held in self._undeleted if held.hidden_until > self._now()]
                self._undeleted = []
                await self.discard(undeleted)
            except Unavailable as error:
                log.warning("webhook jobs held here may show again", extra={"error": str(error)})
            except Exception:
                log.exception("keeping webhook messages hidden failed")

    async def _give_back(self) -> None:
        """Give back what waits here. A job with earlier receives is sent again: giving it back counts as no crash."""
        now = self._now()
        leased = {lease.entry for lease in self._book.active.values()}
        waiting = [held for held in self.held if held not in leased and held.hidden_until > now]
        anew = [held for held in waiting if held.changed or held.receives > 1]
        drafts = []
        for held in anew:
            gate = max(0, self._book.lanes[held.endpoint].gate - now) if held.changed else 0
            drafts.append(Draft(held.text, due_ms=self._clock.wall() + gate if gate else 0))
        if drafts:
            await self.send(drafts)
            await self.discard(anew)
        rest = [held.handle for held in waiting if held not in anew]
        if rest:
            await self.link.hide(self.url, rest, 0)

    def _refused(self, drafts: Sequence[Draft]) -> None:
        """Say that SQS will never take these: they are lost."""
        for draft in drafts:
            self._count.poison.add()
            head = jobs.header(draft.text) or ("unknown", "unknown")
            log.error(
                "a webhook event is lost: SQS does not take it",
                extra={"webhook": head[1], "delivery": head[0], "bytes": draft.size, "limit": MOST_BYTES},
            )

    def _now(self) -> int:
        return self._clock.steady()
