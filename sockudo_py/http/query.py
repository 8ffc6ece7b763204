"""Query strings, decoded once: for the parameters themselves and for the text that is signed."""

from typing import Final
from urllib.parse import unquote, unquote_plus

from sockudo_py.protocol import values
from sockudo_py.protocol.signatures import grouped, is_ambiguous, signed_query

Pairs = list[tuple[str, str]]
MAX_PAIRS = 300  # 100 channels as channels[]=..., and room for the rest


class TooManyParameters(ValueError):
    """The query has more than ``MAX_PAIRS`` parameters."""


def parse(query: str) -> Pairs:
    """Return the parameters in order: names lower-cased, values form-decoded once (``+`` is a space).

    Names keep their brackets (``info[0]``). A parameter without ``=`` has an empty value. Bytes that are no UTF-8
    become U+FFFD. Raises TooManyParameters.
    """
    if not query:
        return []
    parts = query.split("&")
    if len(parts) > MAX_PAIRS:
        raise TooManyParameters
    split = [part.partition("=") for part in parts if part]
    if "%" not in query and "+" not in query:
        return [(name.lower(), value) for name, _, value in split]
    return [(unquote_plus(name).lower(), unquote_plus(value)) for name, _, value in split]


def collapse(pairs: Pairs) -> dict[str, str]:
    """Return the parameters by name, with each array (``k[0]=a&k[1]=b``, ``k[]=a&k[]=b``, ``k=a&k=b``) as ``k=a,b``.

    ``protocol.signatures`` reads them in the same way, so a request means what was signed.
    """
    return {name: ",".join(values) for name, values in grouped(pairs).items()}


def read(query: str) -> tuple[Pairs, dict[str, str]]:
    """Return the parameters as ``parse`` and as ``collapse`` give them."""
    pairs = parse(query)
    if "]" not in query and "%" not in query:
        params = dict(pairs)
        if len(params) == len(pairs):  # the usual case: no arrays
            return pairs, params
    return pairs, collapse(pairs)


@values.value
class Query:
    """A query as a signed request has it: the parameters of the signature (None: not there), and all others.

    ``signed`` is what the signature covers of it, arrays joined; ``ambiguous``: the same text could mean other
    parameters.
    """

    key: str | None
    stamp: str | None
    version: str | None
    body_md5: str | None
    signature: str | None
    signed: str
    others: dict[str, str]
    ambiguous: bool


AUTH_PARAMS: Final = frozenset(("auth_key", "auth_timestamp", "auth_version", "auth_signature", "body_md5"))


def read_signed(query: str) -> Query:
    """Return the query of a signed request. Raises TooManyParameters."""
    pairs, params = read(query)
    given = params.get
    return Query(
        given("auth_key"),
        given("auth_timestamp"),
        given("auth_version"),
        given("body_md5"),
        given("auth_signature"),
        signed_query(params),
        {name: value for name, value in params.items() if name not in AUTH_PARAMS},
        "%" in query and is_ambiguous((name for name, _ in pairs), params.values()),
    )


def decode_segment(segment: str) -> str:
    """Return one segment of a path, percent-decoded (``+`` stays)."""
    return unquote(segment) if "%" in segment else segment
