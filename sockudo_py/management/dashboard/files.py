"""The dashboard's static files, read once."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, as it is sent."""

    body: bytes
    content_type: str
    etag: str


def read_files() -> dict[str, StaticFile]:
    """Return the files by path below ``/dashboard/``."""
    return dict(_read(files("sockudo_py.management.dashboard") / "static", ""))


def _read(folder: Traversable, prefix: str) -> list[tuple[str, StaticFile]]:
    found = []
    for entry in folder.iterdir():
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            found += _read(entry, f"{path}/")
            continue
        kind = _TYPES.get(f".{entry.name.rpartition('.')[2]}")
        if kind is not None:
            body = entry.read_bytes()
            found.append((path, StaticFile(body, kind, f'"{hashlib.sha256(body).hexdigest()[:32]}"')))
    return found


def security_headers(frame_ancestors: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the headers of every file: nothing from elsewhere, and no text ever becomes HTML or a script."""
    ancestors = " ".join(frame_ancestors) or "'none'"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        f"form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cache-Control": "no-cache",
        "Server": "sockudo_py",
    }
    if not frame_ancestors:
        headers["X-Frame-Options"] = "DENY"
    return headers
