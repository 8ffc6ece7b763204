"""What a message of SQS holds, and in which form jobs travel in it. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_BYTES = 1_048_576  # of a message, and of a batch of them, attributes included
BATCH = 10  # messages a call takes
MOST_DELAY = 900  # seconds
WHOLE, FRESH, SOLO = range(3)  # a job as it is delivered; one gathered event; one that shares a request with none

_ATTRIBUTE = "sockudo"
_ROOM = 128  # bytes for the attribute
# The two characters that JSON may hold and SQS may not. They only stand inside strings, where JSON can escape them.
_ESCAPES = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to send. ``due_ms``: not to be delivered before; 0: at once. ``parked``: how often it was put back."""

    text: bytes
    state: int = WHOLE
    due_ms: int = 0
    parked: int = 0
    order: int = 0  # of the messages sent within the same millisecond

    @property
    def size(self) -> int:
        """Bytes that it counts for."""
        return len(self.text) + _ROOM

    def entry(self, ident: str, now: int) -> dict[str, Any]:
        """Return it as ``SendMessageBatch`` takes it."""
        note = f"{self.state} {self.due_ms} {self.parked} {self.order}"
        entry: dict[str, Any] = {
            "Id": ident,
            "MessageBody": _body(self.text),
            "MessageAttributes": {_ATTRIBUTE: {"DataType": "String", "StringValue": note}},
        }
        if self.due_ms > now:
            entry["DelaySeconds"] = min(MOST_DELAY, math.ceil((self.due_ms - now) / 1000))
        return entry


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was received. ``receives``: how often, this time included."""

    id: str
    handle: str
    text: bytes
    receives: int
    sent_ms: int
    hidden_until: int  # ms of our clock: from then on others may receive it
    state: int = WHOLE
    due_ms: int = 0
    parked: int = 0
    order: int = 0

    @property
    def place(self) -> tuple[int, int]:
        """The order in which messages were sent."""
        return self.sent_ms, self.order


def parse(raw: Mapping[str, Any], hidden_until: int) -> Message:
    """Return a message of an answer of ``ReceiveMessage``. A message of another program is a whole job."""
    system = raw.get("Attributes", {})
    note = raw.get("MessageAttributes", {}).get(_ATTRIBUTE, {}).get("StringValue", "")
    words = note.split(" ")
    numbers = [int(word) for word in words] if len(words) == 4 and note.replace(" ", "").isdigit() else [WHOLE, 0, 0, 0]
    return Message(
        id=str(raw["MessageId"]),
        handle=str(raw["ReceiptHandle"]),
        text=str(raw["Body"]).encode(),
        receives=int(system.get("ApproximateReceiveCount", 1)),
        sent_ms=int(system.get("SentTimestamp", 0)),
        hidden_until=hidden_until,
        state=numbers[0],
        due_ms=numbers[1],
        parked=numbers[2],
        order=numbers[3],
    )


def chunks(drafts: Iterable[Draft]) -> Iterator[list[Draft]]:
    """Yield the drafts in batches that one call takes."""
    batch: list[Draft] = []
    size = 0
    for draft in drafts:
        if batch and (len(batch) == BATCH or size + draft.size > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(draft)
        size += draft.size
    if batch:
        yield batch


def tens(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield ten at a time."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def _body(text: bytes) -> str:
    body = text.decode("utf-8", "replace")
    return body.translate(_ESCAPES) if "\ufffe" in body or "\uffff" in body else body
