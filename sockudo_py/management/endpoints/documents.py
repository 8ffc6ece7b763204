"""What the endpoint store keeps of an endpoint, and of a switch that was made by hand or by the server. Pure.

A row of an endpoint has its uid as key. A switch has ``override:`` and the uid of an endpoint; it is kept for endpoints
of the configuration, whose file is never rewritten, and for those that the server has disabled itself. A note that an
endpoint is to get a resync has ``resync:`` and its uid; one that its lane keeps its order for resyncs, ``order:``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from sockudo_py.endpoints import ProfileName, Secret
from sockudo_py.webhooks.endpoints.registry import Override

OVERRIDE: Final = "override:"
RESYNC_DUE: Final = "resync:"
ORDER: Final = "order:"
VERSION: Final = 1


class Broken(ValueError):
    """A row that this version can't read. The message holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Document:
    """An endpoint that the API has made. ``spec``: its fields as they were sent, without secret and app.

    ``profile``: the one it has when ``spec`` names none. Times are Unix milliseconds.
    """

    uid: str
    number: int
    app_id: str
    profile: ProfileName
    spec: Mapping[str, Any] = field(repr=False)
    secrets: tuple[Secret, ...] = field(default=(), repr=False)
    created_ms: int = 0
    updated_ms: int = 0

    def encoded(self) -> bytes:
        """Return the text of the row."""
        secrets = [{"value": secret.value, "expires_at": secret.expires_at} for secret in self.secrets]
        return orjson.dumps(
            {
                "v": VERSION,
                "uid": self.uid,
                "number": self.number,
                "app_id": self.app_id,
                "profile": self.profile,
                "created_ms": self.created_ms,
                "updated_ms": self.updated_ms,
                "spec": dict(self.spec),
                "secrets": secrets,
            }
        )

    def with_secrets(self, *secrets: Secret) -> "Document":
        """Return it with other secrets, the current one first."""
        return replace(self, secrets=secrets)


def read_document(key: str, text: bytes) -> Document:
    """Return the endpoint of a row. Raises Broken."""
    try:
        raw = orjson.loads(text)
        if raw["v"] != VERSION or raw["uid"] != key:
            raise Broken("it is of another version")
        return Document(
            uid=key,
            number=int(raw["number"]),
            app_id=str(raw["app_id"]),
            profile=raw["profile"],
            spec=dict(raw["spec"]),
            secrets=tuple(Secret(str(one["value"]), one["expires_at"]) for one in raw["secrets"]),
            created_ms=int(raw["created_ms"]),
            updated_ms=int(raw["updated_ms"]),
        )
    except Broken:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise Broken(f"it can't be read: {type(problem).__name__}") from None


def encode_override(override: Override) -> bytes:
    """Return the text of the row of a switch."""
    return orjson.dumps({"v": VERSION, "enabled": override.enabled, "said": override.said, "target": override.target})


def read_override(text: bytes) -> Override:
    """Return the switch of a row. Raises Broken."""
    try:
        raw = orjson.loads(text)
        enabled, said, target = raw["enabled"], raw["said"], raw["target"]
    except (ValueError, TypeError, KeyError) as problem:
        raise Broken(f"it can't be read: {type(problem).__name__}") from None
    if not isinstance(enabled, bool) or not isinstance(said, bool) or not isinstance(target, (str, type(None))):
        raise Broken("it can't be read")
    return Override(enabled, said, target)


def encode_note(taken_ms: int = 0) -> bytes:
    """Return the text of a note that a resync is due. ``taken_ms``: when a server began to make it; 0: none has."""
    return orjson.dumps({"v": VERSION, "taken_ms": taken_ms})


def note_taken_ms(text: bytes) -> int:
    """Return when a server began to make the resync of a note; 0: none has, or the note can't be read."""
    try:
        taken = orjson.loads(text)["taken_ms"]
    except (ValueError, TypeError, KeyError):
        return 0
    return taken if type(taken) is int else 0


def encode_order(resyncs: Mapping[str, int]) -> bytes:
    """Return the text of a note that a lane keeps its order for these resyncs. See ``read_order``."""
    return orjson.dumps({"v": VERSION, "resyncs": dict(resyncs)})


def read_order(text: bytes) -> dict[str, int]:
    """Return the resyncs of a note by id, with the Unix milliseconds at which each began. Raises Broken."""
    try:
        return {str(ident): int(began_ms) for ident, began_ms in orjson.loads(text)["resyncs"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise Broken(f"it can't be read: {type(problem).__name__}") from None
