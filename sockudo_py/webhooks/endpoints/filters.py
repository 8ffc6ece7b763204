"""Which events an endpoint wants: event types and channel filters, compiled once. Pure."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from sockudo_py.endpoints import ChannelFilter, Endpoint
from sockudo_py.protocol.channels.table import CLASSES, ChannelClass, classify, valid_channel_name
from sockudo_py.webhooks.events import CONNECTION_EVENTS

MAX_PATTERN_LENGTH = 256

ChannelTest = Callable[[str], bool]

_TYPES: Mapping[str, Callable[[ChannelClass], bool]] = MappingProxyType(
    {
        "public": lambda row: not row.private and not row.server_to_user,
        "private": lambda row: row.private and not row.presence and not row.encrypted,
        "presence": lambda row: row.presence,
        "encrypted": lambda row: row.encrypted,
        "private-encrypted": lambda row: row.encrypted,
        "cache": lambda row: row.cached,
    }
)
CHANNEL_TYPES = tuple(_TYPES)

# Events that only some channels have.
_CHANNELS_OF: Mapping[str, Callable[[ChannelClass], bool]] = MappingProxyType(
    {
        "member_added": lambda row: row.presence,
        "member_removed": lambda row: row.presence,
        "client_event": lambda row: row.private,
        "cache_miss": lambda row: row.cached,
    }
)


def wants(endpoint: Endpoint, event_name: str) -> bool:
    """Return whether the endpoint lists this event. ``*`` stands for all but the connection events."""
    types = endpoint.event_types
    return event_name in types or ("*" in types and event_name not in CONNECTION_EVENTS)


def compile_filter(wanted: ChannelFilter) -> ChannelTest | None:
    """Return a test for channel names, or None when every channel passes. Raises ValueError naming the bad key."""
    problems = filter_problems(wanted)
    if problems:
        raise ValueError("; ".join(problems))
    tests: list[ChannelTest] = []
    if wanted.channel_type is not None:
        tests.append(_type_test(wanted.channel_type))
    if wanted.channel_prefix is not None:
        tests.append(_prefix_test(wanted.channel_prefix, logical_too=wanted.channel_type is not None))
    if wanted.channel_suffix is not None:
        suffix = wanted.channel_suffix
        tests.append(lambda channel: channel.endswith(suffix))
    if wanted.channel_namespace is not None:
        tests.append(_namespace_test((wanted.channel_namespace,)))
    if wanted.channel_namespaces is not None:
        tests.append(_namespace_test(wanted.channel_namespaces))
    if wanted.channel_pattern is not None:
        pattern = re.compile(wanted.channel_pattern)
        tests.append(lambda channel: pattern.search(channel) is not None)
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda channel: all(test(channel) for test in tests)


def filter_problems(wanted: ChannelFilter) -> list[str]:
    """Return what is wrong with a filter, one line per key: ``filter.channel_pattern: …``."""
    problems = []
    if wanted.channel_type is not None and wanted.channel_type not in _TYPES:
        known = ", ".join(CHANNEL_TYPES)
        problems.append(f"filter.channel_type: {wanted.channel_type!r} is none of {known}")
    if wanted.channel_pattern is not None:
        problems.extend(f"filter.channel_pattern: {text}" for text in _pattern_problems(wanted.channel_pattern))
    return problems


def impossible(wanted: ChannelFilter, event_types: Collection[str] = ()) -> Iterable[str]:
    """Yield the reason when no channel can pass a valid filter, or none that has one of the event types.

    Patterns are only checked for characters that no channel name has.
    """
    texts = [("channel_prefix", wanted.channel_prefix), ("channel_suffix", wanted.channel_suffix)]
    texts += [("channel_namespace", wanted.channel_namespace)]
    texts += [("channel_namespaces", name) for name in wanted.channel_namespaces or ()]
    for key, text in texts:
        if text and not valid_channel_name(text):
            yield f"filter.{key}: can never match; names of channels hold only letters, digits and _ - = @ , . ;"
            return
    if wanted.channel_namespaces == ():
        yield "filter.channel_namespaces: is empty, so no channel passes; remove it or name some"
        return
    if wanted.channel_pattern is not None and _needs_other_characters(wanted.channel_pattern):
        yield "filter.channel_pattern: can never match; names of channels hold only letters, digits and _ - = @ , . ;"
        return
    passes = compile_filter(replace(wanted, channel_pattern=None))
    if passes is not None and not any(passes(name) for name in _candidates(wanted)):
        yield "filter: no channel can pass all of its conditions; remove one"
    elif passes is not None and event_types and all(name in _CHANNELS_OF for name in event_types):
        rows = [classify(name) for name in _candidates(wanted) if passes(name)]
        if not any(_CHANNELS_OF[name](row) for name in event_types for row in rows):
            listed = ", ".join(event_types)
            yield f"filter: can never match; no channel that passes has {listed}; change the filter or event_types"


def _candidates(wanted: ChannelFilter) -> Iterable[str]:
    """Yield names that pass everything but the pattern, if any name does."""
    prefix, suffix = wanted.channel_prefix or "", wanted.channel_suffix or ""
    names = [name for name in (wanted.channel_namespace, *(wanted.channel_namespaces or ())) if name]
    for kind in ("", *(row.prefix for row in CLASSES)):
        starts = {"", prefix, *names, *(f"{name}-" for name in names)}
        if prefix.startswith(kind):
            starts.add(prefix.removeprefix(kind))
        for start in starts:
            for shared in range(min(len(start), len(suffix)) + 1):  # the suffix may begin inside the beginning
                if start.endswith(suffix[:shared]):
                    yield kind + start + suffix[shared:]
            yield from (f"{kind}{start}x{suffix}", f"{kind}{start}-{suffix}", f"{kind}{start}-x-{suffix}")
            if suffix:
                yield suffix  # the suffix may hold all of it


def _needs_other_characters(pattern: str) -> bool:
    """Return whether every match of a pattern holds a character that no channel name has. When in doubt: no."""
    pieces = _PIECE.findall(pattern)
    if "|" in pieces or pattern.startswith("(?"):
        return False
    depth = 0
    for piece, following in zip(pieces, (*pieces[1:], ""), strict=False):  # an empty pattern has no pieces
        depth += piece.startswith("(") - (piece == ")")
        literal = (
            piece[-1] if len(piece) == 1 or (len(piece) == 2 and piece[0] == "\\" and not piece[1].isalnum()) else ""
        )
        plain = literal not in ".^$*+?()[]{}" or len(piece) == 2
        needed = depth == 0 and plain and not following.startswith(("*", "?", "{"))
        if literal and needed and not valid_channel_name(literal):
            return True
    return False


def _logical(channel: str) -> str:
    """The name without its class prefix."""
    return channel[len(classify(channel).prefix) :]


def _type_test(name: str) -> ChannelTest:
    belongs = _TYPES[name]
    return lambda channel: belongs(classify(channel))


def _prefix_test(prefix: str, *, logical_too: bool) -> ChannelTest:
    # A documented example combines channel_type "presence" with prefix "admin-": on the full name that never matches.
    if logical_too:
        return lambda channel: channel.startswith(prefix) or _logical(channel).startswith(prefix)
    return lambda channel: channel.startswith(prefix)


def _namespace_test(namespaces: tuple[str, ...]) -> ChannelTest:
    begins = re.compile(f"(?:{'|'.join(map(re.escape, namespaces))})(?:$|[-._=@,;:])")
    return lambda channel: begins.match(_logical(channel)) is not None


def _pattern_problems(pattern: str) -> Iterable[str]:
    if len(pattern) > MAX_PATTERN_LENGTH:
        return [f"longer than {MAX_PATTERN_LENGTH} characters"]
    try:
        re.compile(pattern)
    except re.error as error:
        return [f"not a regular expression: {error}"]
    return _costly(pattern)


_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[^:)<]*[:)]?|[()|]|[*+]|\{\d*,?\d*\}|\?|.", re.DOTALL)
_REPETITION = re.compile(r"[*+?]|\{\d*,?\d*\}")
_COUNTED = re.compile(r"\{\d+\}")  # exactly so often
_OPTIONAL = frozenset(("?", "{0,1}", "{,1}"))
_MOST_OPTIONAL = 8  # each doubles the ways in which a text may match


def _costly(pattern: str) -> list[str]:
    """Channel names come from strangers, so a pattern must not take time that grows without bound with the name."""
    open_groups: list[bool] = [False]  # per open group: may one text match it in several ways?
    unbounded = optional = 0
    closed: bool | None = None  # the group that the last piece closed
    after_repetition = False
    for piece in _PIECE.findall(pattern):
        repeated = (
            _REPETITION.fullmatch(piece) is not None and piece != "{}" and not (after_repetition and piece == "?")
        )
        if closed and repeated and piece not in _OPTIONAL:
            return [
                "a repeated group holds a repetition or an alternative; that can take forever on a hostile channel name"
            ]
        closed = None
        if piece.startswith("("):
            open_groups.append(False)
        elif piece == ")":
            inner = open_groups.pop() if len(open_groups) > 1 else False
            open_groups[-1] = open_groups[-1] or inner
            closed = inner
        elif piece == "|" or (repeated and _COUNTED.fullmatch(piece) is None):
            open_groups[-1] = True
        if repeated:
            optional += piece in _OPTIONAL
            unbounded += piece not in _OPTIONAL and _COUNTED.fullmatch(piece) is None
        after_repetition = repeated
    allowed = 3 if pattern.startswith("^") else 2
    if unbounded > allowed:
        return [f"has {unbounded} open repetitions; {allowed} are allowed (3 when the pattern begins with ^)"]
    if optional > _MOST_OPTIONAL:
        return [f"has {optional} optional parts; {_MOST_OPTIONAL} are allowed"]
    return []
