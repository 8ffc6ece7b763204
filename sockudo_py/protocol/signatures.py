"""Signatures: HMAC-SHA256 in lower-case hex over text exactly as it was received.

The signed text never contains the secret, so an error may show it to a client with a wrong signature.
"""

import hmac
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hashlib import _Hash

_ARRAY_KEY = re.compile(r"([^\[\]]+)\[[^\[\]]*\]")  # PHP's k[], k[0], k[name]


def sign(secret: bytes, text: str | bytes) -> str:
    """Return the lower-case hex HMAC-SHA256 of ``text`` (a str as UTF-8)."""
    if isinstance(text, str):
        try:
            data = text.encode()
        except UnicodeEncodeError:
            # A lone surrogate may come out of a percent-encoded path: no honest signature covers it, but it must not
            # raise.
            data = text.encode("utf-8", "surrogatepass")
    else:
        data = text
    inner, outer = _keyed(secret)
    inner, outer = inner.copy(), outer.copy()
    inner.update(data)
    outer.update(inner.digest())
    return outer.hexdigest()


_BLOCK = 64  # bytes, of SHA-256


@lru_cache(maxsize=1024)  # of secrets that the apps hold anyway
def _keyed(secret: bytes) -> "tuple[_Hash, _Hash]":
    """Return both hashes of HMAC (RFC 2104) after they took in the secret.

    Copies of them cost 1.0 us; a copy of ``hmac.HMAC`` costs 1.6, ``hmac.digest`` 2.2, and twice as much of the caches.
    """
    key = (secret if len(secret) <= _BLOCK else sha256(secret).digest()).ljust(_BLOCK, b"\0")
    return sha256(bytes(byte ^ 0x36 for byte in key)), sha256(bytes(byte ^ 0x5C for byte in key))


def verify(secret: bytes, text: str | bytes, signature: str) -> bool:
    """Return whether ``signature`` is the signature of ``text``, in constant time. Never raises, whatever was sent.

    Upper-case hex is a wrong signature like any other: no SDK makes it.
    """
    if not signature.isascii():  # compare_digest raises TypeError on such a str
        return False
    return hmac.compare_digest(sign(secret, text), signature)


def channel_string(socket_id: str, channel: str, channel_data: str | None = None) -> str:
    """Return the string that authorises a subscription.

    It is unambiguous only for a valid channel name, which has no colon: check the name first.
    """
    if channel_data is None:
        return f"{socket_id}:{channel}"
    return f"{socket_id}:{channel}:{channel_data}"


def user_string(socket_id: str, user_data: str) -> str:
    """Return the string that authenticates a user."""
    return f"{socket_id}::user::{user_data}"


def http_string(method: str, path: str, parameters: Iterable[tuple[str, str]]) -> str:
    """Return the string that signs a request to the HTTP API.

    Args:
        method: Upper or lower case.
        path: Without the query; as received, or percent-decoded for clients that sign it that way.
        parameters: Decoded query parameters in the order received. ``auth_signature`` is left out; the values of an
            array are joined by commas, as the PHP SDK signs them.
    """
    values = {name: ",".join(found) for name, found in grouped(parameters).items()}
    return f"{method.upper()}\n{path}\n{signed_query(values)}"


def grouped(parameters: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the values of each parameter in the order received, by its name in lower case and without brackets.

    So ``k[0]=a&k[1]=b``, ``k[]=a&k[]=b`` and ``k=a&k=b`` are the same array: SDKs sign in one of these forms what their
    HTTP stacks send in another.
    """
    groups: dict[str, list[str]] = {}
    for name, value in parameters:
        array = _ARRAY_KEY.fullmatch(name)
        groups.setdefault((array[1] if array else name).lower(), []).append(value)
    return groups


_ARRAYS: Final = frozenset(("channels", "info"))  # a lone value of these may have been an array to its sender


def array_queries(parameters: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield what else clients sign of a query than its ``signed_query``: arrays that are not joined, or not sorted.

    Each covers every parameter but ``auth_signature``. ``parameters`` are decoded, with lower-case names, as received.
    """
    pairs = [(name, value) for name, value in parameters if name != "auth_signature"]
    groups = dict(sorted(grouped(pairs).items()))
    arrays = {name for name, values in groups.items() if len(values) > 1}
    arrays.update(match[1] for name, _ in pairs if (match := _ARRAY_KEY.fullmatch(name)))
    yield _query(pairs)  # Rust's SDK does not sort
    for named in dict.fromkeys((frozenset(arrays), frozenset(arrays | (_ARRAYS & groups.keys())))):
        if named:  # Ruby's SDK, whose one HTTP stack sends k=a&k=b for it, and the other one k[]=a&k[]=b
            yield _query((f"{name}[]" if name in named else name, value) for name in groups for value in groups[name])
    if arrays:
        yield _query((name, value) for name in groups for value in groups[name])
        yield _query(sorted(pairs, key=lambda pair: pair[0]))
        yield _query(sorted(pairs))


def _query(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join([f"{name}={value}" for name, value in pairs])


def signed_query(values: Mapping[str, str]) -> str:
    """Return what is signed of a query whose names are lower case and whose arrays are joined."""
    return "&".join([f"{name}={values[name]}" for name in sorted(values) if name != "auth_signature"])


def is_ambiguous(names: Iterable[str], values: Iterable[str]) -> bool:
    """Return whether what is signed of a query could be read as other parameters than these.

    Nothing is escaped in there: ``name=a&info=b`` is one parameter or two. It is read in one way only where no name has
    ``&`` or ``=``, and no part of a value behind a ``&`` has ``=``.

    Args:
        names: As they were received, decoded.
        values: Decoded, those of arrays joined.
    """
    return any("&" in name or "=" in name for name in names) or any(
        "&" in value and "=" in value.partition("&")[2] for value in values
    )


def webhook_signature(secret: bytes, body: bytes) -> str:
    """Return the value of ``X-Pusher-Signature`` for exactly this body: bare hex, as every official SDK expects."""
    return sign(secret, body)
