"""POST batch_events: several events in one request. All are checked before the first one is published."""

import asyncio
from collections.abc import Awaitable

from sockudo_py import logs
from sockudo_py.errors import Unavailable
from sockudo_py.http.context import Call
from sockudo_py.http.handlers.events import Event, check, figures, info_answer, key_of_event, read_body, trace
from sockudo_py.http.idempotency import Keyed, fingerprint, read_key
from sockudo_py.http.messages import OK, UNAVAILABLE, ApiResponse, error


def publish_batch(call: Call) -> ApiResponse | Awaitable[ApiResponse]:
    """Publish a list of events with one channel each, in order. Answers like ``events.publish``."""
    params = read_body(call)
    if not isinstance(params, dict):
        return params
    app = call.app
    batch = params.get("batch")
    if not isinstance(batch, list) or not batch:
        return error(400, "Expected batch parameter to be a non-empty array of events")
    if len(batch) > app.max_batch_size:
        return error(400, f"A batch may hold at most {app.max_batch_size} events, this one has {len(batch)}")
    events: list[Event] = []
    keys: list[str | None] = []
    for number, item in enumerate(batch, 1):
        if not isinstance(item, dict):
            return error(400, f"Event {number} of the batch: expected an object")
        event = check(item, app, True)
        if not isinstance(event, tuple):
            return _of_event(number, event)
        key = read_key(item.get("idempotency_key"), None)
        if isinstance(key, ApiResponse):
            return _of_event(number, key)
        events.append(event)
        keys.append(key)
    key = read_key(params.get("idempotency_key"), call.request.idempotency_key)
    if isinstance(key, ApiResponse):
        return key
    if key is None:
        return _publish(call, events, keys)
    asked = fingerprint([[*event[:4], sorted(event[4]), key] for event, key in zip(events, keys, strict=True)])
    keyed = call.idempotency.keyed(app.id, f"batch:{key}", asked)
    return call.idempotency.once(keyed, call.counters, lambda: _publish(call, events, keys))


def _publish(call: Call, events: list[Event], keys: list[str | None]) -> ApiResponse | Awaitable[ApiResponse]:
    if any(keys):
        return call.idempotency.in_the_end(_publish_keyed(call, events, keys))
    refused = _send(call, events)
    if refused is not None:
        return refused
    return _with_info(call, events) if any(info for *_, info in events) else OK


def _send(call: Call, events: list[Event]) -> ApiResponse | None:
    """Publish the events, or return why not."""
    refused = call.spend_events(len(events))
    if refused is None:
        for event in events:
            name, data, channels, socket_id, _ = event
            if logs.tracing:
                trace(call, event)
            call.node.publish(call.app, channels, name, data, socket_id)
    return refused


async def _publish_keyed(call: Call, events: list[Event], keys: list[str | None]) -> ApiResponse:
    """Publish the events whose keys have not been used yet. When one was used for another event, publish none."""
    claimed: dict[int, Keyed] = {}
    try:
        refused = await _claim(call, events, keys, claimed)
    except Unavailable:
        refused = UNAVAILABLE
    if refused is None:
        new = [event for at, event in enumerate(events) if keys[at] is None or at in claimed]
        refused = _send(call, new) if new else None
    if refused is not None:
        for keyed in claimed.values():
            keyed.lost()
        return refused
    found = await asyncio.gather(*(figures(call.node, call.app, channels[0], info) for *_, channels, _, info in events))
    for at, keyed in claimed.items():
        *_, channels, _, info = events[at]
        keyed.answered(info_answer({"channels": {channels[0]: found[at]}}) if info else OK)
    return info_answer({"batch": found}) if any(info for *_, info in events) else OK


async def _claim(
    call: Call, events: list[Event], keys: list[str | None], claimed: dict[int, Keyed]
) -> ApiResponse | None:
    """Claim the keys: unused ones go to ``claimed``. Return the refusal of an event, or None."""
    seen: dict[str, Keyed] = {}
    wanted = [(key, at) for at, key in enumerate(keys) if key is not None]
    for key, at in sorted(wanted):  # in one order, so that two batches never wait for each other
        keyed = key_of_event(call, key, events[at])
        call.counters.idempotent_publishes += 1
        before = seen.setdefault(key, keyed)
        answer = (await keyed.claim()) if before is keyed else keyed.after(before)
        if answer is None:
            claimed[at] = keyed
        elif answer.status >= 400:
            return _of_event(at + 1, answer)
        else:
            call.counters.idempotent_duplicates += 1
    return None


async def _with_info(call: Call, events: list[Event]) -> ApiResponse:
    asked = [(channels[0], info) for *_, channels, _, info in events]
    found = await asyncio.gather(*(figures(call.node, call.app, channel, info) for channel, info in asked))
    return info_answer({"batch": found})


def _of_event(number: int, refused: ApiResponse) -> ApiResponse:
    """Return the refusal of one event as that of its batch."""
    text = b"Event %d of the batch: " % number + refused.body
    return ApiResponse(refused.status, text, refused.content_type, refused.headers)
