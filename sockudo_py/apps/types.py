"""Whether the event types that an app registers are usable."""

import sys
from collections.abc import Iterable, Iterator

import orjson

from sockudo_py.event_types import EventType, reserved
from sockudo_py.schemas import MOST_BYTES, available, compiled

INSTALL = f"{sys.executable} -m pip install 'sockudo-py[schemas]' (in a clone: '.[schemas]')"


def event_type_problems(types: Iterable[EventType]) -> Iterator[str]:
    """Yield what is wrong with event types, each with the name of the type."""
    seen: set[str] = set()
    for one in types:
        if one.name in seen:
            yield f"{one.name} is there twice; remove one"
        seen.add(one.name)
        if reserved(one.name):
            yield f"{one.name} is an event of the server itself; choose another name"
        if one.schema is None:
            continue
        if not available():
            yield f"{one.name}: schema: jsonschema-rs is not installed; install it: {INSTALL}"
            return
        if len(orjson.dumps(one.schema)) > MOST_BYTES:
            yield f"{one.name}: schema: has more than {MOST_BYTES} bytes"
            continue
        try:
            check = compiled(one.schema)
        except ValueError as problem:
            yield f"{one.name}: schema: {problem}"
            continue
        if one.example is not None:
            for place, what in check(one.example)[:1]:
                yield f"{one.name}: example{'.' if place else ''}{place}: does not fit the schema: {what}"
