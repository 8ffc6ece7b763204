"""Who sent this request: the signature of the HTTP API (section 6.1 of the protocol reference).

The check covers the request as received: the body's bytes, the path as it came (then percent-decoded, because the SDKs
sign the path before their HTTP stacks encode it), and the query's values, decoded once.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import unquote

from sockudo_py.http.messages import ApiRequest, ApiResponse, echo, error
from sockudo_py.http.query import Query, parse
from sockudo_py.protocol.app import App
from sockudo_py.protocol.signatures import array_queries, verify

GRACE = 600  # seconds that auth_timestamp may be off, either way
_STAMP_DIGITS = 12
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"  # the Python SDK sends it with every GET
_EMPTY = hashlib.md5(usedforsecurity=False)  # a copy of it touches half as much of the caches as making one

# Where these are in what is signed, when it is auth_key=...&auth_timestamp=1234567890&auth_version=1.0&body_md5=...
_MD5 = len(EMPTY_MD5)
_STAMP = slice(-_MD5 - len("1234567890&auth_version=1.0&body_md5="), -_MD5 - len("&auth_version=1.0&body_md5="))
_KEY = slice(len("auth_key="), _STAMP.start - len("&auth_timestamp="))
_SIGNATURE = 64  # characters

# Between these the age of such a timestamp must be, for whole seconds to differ by GRACE at most.
_EARLIEST, _LATEST = -float(GRACE), GRACE + 1.0


def is_signed_as_usual(request: ApiRequest, app: App, now: float) -> bool:
    """Return True when the request is signed by a key of ``app`` and its query has what signs it, and nothing else.

    Nearly every publish is signed so. True implies that ``authenticate`` would accept; on False, call ``authenticate``,
    which reads the query by all rules. This function decodes nothing: names and values must stand in the query as they
    are signed, in that order. Only the signature may stand anywhere (Go's SDK sorts it in).

    Args:
        request: The request as it came.
        app: The app that the path names.
        now: Unix seconds.
    """
    signed, _, given = request.query.partition("&auth_signature=")
    if len(given) != _SIGNATURE:
        if given[_SIGNATURE : _SIGNATURE + 1] != "&":
            return False
        signed += given[_SIGNATURE:]
        given = given[:_SIGNATURE]
    key, stamp = signed[_KEY], signed[_STAMP]
    secret = app.secret_of(key)
    if secret is None or "&" in key or "%" in key or "+" in key:
        return False
    if not (stamp.isdigit() and stamp.isascii()) or not _EARLIEST <= now - int(stamp) < _LATEST:
        return False
    if not verify(secret, f"{request.method}\n{request.path}\n{signed}", given):
        return False
    digest = _EMPTY.copy()
    digest.update(request.body)
    return signed == f"auth_key={key}&auth_timestamp={stamp}&auth_version=1.0&body_md5={digest.hexdigest()}"


def authenticate(request: ApiRequest, app: App, query: Query, now: float, prefix: str = "") -> ApiResponse | None:
    """Return None when the request is signed by a key of ``app``, else the error to answer.

    Args:
        request: The request as it came.
        app: The app that the path names.
        query: The request's, as ``read_signed`` gives it.
        now: Unix seconds.
        prefix: The configured path prefix: PHP's option ``path`` signs it, everybody else does not.
    """
    key, stamp, version, given = query.key, query.stamp, query.version, query.signature
    if key is None or stamp is None or version is None or given is None:
        required = {"auth_key": key, "auth_timestamp": stamp, "auth_version": version, "auth_signature": given}
        missing = ", ".join(name for name, value in required.items() if value is None)
        return error(401, f"Missing required parameter: {missing}")
    if version != "1.0":
        return error(401, "Version not supported: auth_version must be 1.0")
    secret = app.secret_of(key)
    if secret is None:
        return error(401, f"Unknown auth_key: app {app.id} has no such key")
    if not (len(stamp) <= _STAMP_DIGITS and stamp.isascii() and stamp.isdigit()):
        return error(401, "auth_timestamp must be an integer: seconds since 1970")
    if abs(int(now) - int(stamp)) > GRACE:
        return _expired(int(stamp), now)
    failure = _check_body(request.body, query.body_md5)
    if failure is not None:
        return failure

    if query.ambiguous:
        return error(401, "Ambiguous query: no name of a parameter may hold & or =, and no value & and = behind it")

    text = f"{request.method}\n{request.path}\n{query.signed}"
    if verify(secret, text, given):
        return None
    if any(verify(secret, other, given) for other in _other_texts(request, query.signed, prefix)):
        return None
    shown = echo(text.replace("\n", "\\n"))
    return error(
        401,
        f'Invalid signature: you should have sent HmacSHA256Hex("{shown}", your_secret_key), '
        f'but you sent "{echo(given)}"',
    )


def _other_texts(request: ApiRequest, signed: str, prefix: str) -> Iterator[str]:
    """Yield the less usual texts that clients sign for this same request; ``signed``: the query as it is usual."""
    paths = list(dict.fromkeys((request.path, unquote(request.path))))
    if prefix:
        paths += [prefix + path for path in paths]
    for query in dict.fromkeys((signed, *array_queries(parse(request.query)))):
        for path in paths:
            yield f"{request.method}\n{path}\n{query}"


def _check_body(body: bytes, md5: str | None) -> ApiResponse | None:
    if not body:
        if md5 is None or md5 == EMPTY_MD5:
            return None
        return error(401, "Invalid body_md5: the request has no body")
    if md5 is None:
        return error(401, "Missing required parameter: body_md5")
    digest = _EMPTY.copy()
    digest.update(body)
    if digest.hexdigest() != md5:
        return error(401, "Invalid body_md5: it is not the MD5 of the body that arrived")
    return None


def _expired(stamp: int, now: float) -> ApiResponse:
    given, ours = _utc(stamp), _utc(int(now))
    return error(
        401,
        f"Timestamp expired: Given timestamp ({given}) not within {GRACE}s of server time ({ours}). Check the clocks",
    )


def _utc(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(seconds)
