"""Admin keys: who may do what with the management routes."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

EVERY_APP = "*"
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Admin:
    """An admin key, by its SHA-256, and what it is for. ``name`` stands in the log and in the audit."""

    sha256: bytes = field(repr=False)
    apps: frozenset[str]
    scopes: frozenset[str]
    name: str = ""
    link: bool = False  # it is a link that was made with a key

    @property
    def ident(self) -> str:
        """Return an identifier of the key that reveals nothing of its hash, which signs links."""
        return hashlib.sha256(b"ident\0" + self.sha256).hexdigest()[:16]

    def sees_everything(self) -> bool:
        """Return whether it may read about every app."""
        return EVERY_APP in self.apps and "read" in self.scopes


# Whoever may open the admin socket: the user that the server runs as.
SOCKET_OWNER = Admin(b"", frozenset({EVERY_APP}), frozenset({"read", "write"}), "socket")


class AdminKeys:
    """The admin keys of a server."""

    def __init__(self, admins: Iterable[Admin]) -> None:
        self._admins = tuple(admins)

    def __len__(self) -> int:
        return len(self._admins)

    def replace(self, admins: Iterable[Admin]) -> None:
        """Let these count from now on, and no others."""
        self._admins = tuple(admins)

    def by_ident(self, ident: str) -> Admin | None:
        """Return the key with this ``ident``."""
        return next((admin for admin in self._admins if admin.ident == ident), None)

    def find(self, headers: Mapping[str, str]) -> Admin | None:
        """Return whose key headers (lower-case names) hold, as ``Authorization: Bearer`` or ``X-Pulse-Key``."""
        given = given_key(headers)
        if given is None:
            return None
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        # All are compared: how long it takes says nothing about which one, or whether any, fits.
        found = [admin for admin in self._admins if hmac.compare_digest(admin.sha256, digest)]
        return found[0] if found else None

    def see_everything(self, headers: Mapping[str, str]) -> bool:
        """Return whether headers hold a key that may read about every app."""
        admin = self.find(headers)
        return admin is not None and admin.sees_everything()


def new_key() -> str:
    """Return a new admin key."""
    return f"sk_{secrets.token_urlsafe(32)}"


def given_key(headers: Mapping[str, str]) -> str | None:
    """Return the key in headers (lower-case names): of ``X-Pulse-Key``, or of ``Authorization: Bearer``."""
    given = headers.get("x-pulse-key")
    authorization = headers.get("authorization", "")
    if given is None and authorization[: len(_BEARER)].lower() == _BEARER:
        given = authorization[len(_BEARER) :].strip()
    return given or None
