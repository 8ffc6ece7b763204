"""Short ways to make what these tests talk about."""

from typing import Any

import orjson

from sockudo_py.endpoints import Endpoint, Secret
from sockudo_py.protocol.app import AppKey
from sockudo_py.queues.jobs import Job

KEY = "278d425bdf160c739803"
APP_SECRET = b"7ad3773142a6692b25b8"
SECRET = "a-shared-secret-of-an-endpoint"
NOW = 1_700_000_000.0
NOW_MS = 1_700_000_000_000


def endpoint(uid: str = "wh_1", **fields: Any) -> Endpoint:
    """Return an endpoint that wants everything, unless told otherwise."""
    given = {
        "id": 1,
        "app_id": "app-1",
        "app_keys": (AppKey(KEY, APP_SECRET),),
        "url": "http://receiver.example/hook",
        "event_types": frozenset({"*"}),
        **fields,
    }
    if given.get("function") is not None:
        given.pop("url")
    if "secrets" not in given:
        given["secrets"] = (Secret(SECRET),)
    return Endpoint(uid=uid, **given)


def job(*events: dict[str, Any], **fields: Any) -> Job:
    """Return a job of events, made at NOW_MS."""
    listed = events or ({"name": "channel_occupied", "channel": "c", "time_ms": NOW_MS},)
    given = {"id": "dl_1", "endpoint": "wh_1", "app_id": "app-1", "created_ms": NOW_MS, **fields}
    return Job(events_text=orjson.dumps(list(listed)), **given)
