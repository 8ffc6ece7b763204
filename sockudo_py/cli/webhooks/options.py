"""The options that choose among dead letters and deliveries."""

import argparse
import re
import time

from sockudo_py.cli.shown import plain
from sockudo_py.management.requests.values import moment_ms
from sockudo_py.webhooks.targets.base import ERROR_CLASSES

_AGO = re.compile(r"(\d{1,6})\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
MOMENT = "ISO 8601 (2026-11-30T12:00Z), Unix milliseconds, or how long ago (30m, 2h, 7d)"
CLASSES = ", ".join(sorted(ERROR_CLASSES))


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Add them. ``choosing.chosen`` reads them."""
    parser.add_argument("ids", nargs="*", metavar="DELIVERY", help="only these, by id")
    parser.add_argument("--id", action="append", default=[], metavar="DELIVERY", help="the same, once for each")
    parser.add_argument("--endpoint", metavar="WHICH", help="only of this endpoint, by uid or name")
    parser.add_argument("--app", metavar="ID", help="only of this app")
    parser.add_argument("--error", metavar="CLASS", help=f"only with this error: {CLASSES}")
    parser.add_argument("--since", type=moment, metavar="TIME", help=f"only those that failed then or later: {MOMENT}")
    parser.add_argument("--until", type=moment, metavar="TIME", help="only those that failed before")


def moment(text: str) -> int:
    """Return the Unix milliseconds that the text of an option means. Raises ArgumentTypeError."""
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return int((time.time() - int(ago[1]) * _SECONDS[ago[2]]) * 1000)
    named = moment_ms(text.strip())
    if named is None:
        raise argparse.ArgumentTypeError(f"{plain(text)!r} is no time: write 2026-11-30T12:00Z, 30m, 2h or 7d")
    return named
