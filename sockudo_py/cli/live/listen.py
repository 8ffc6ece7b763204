"""``sockudo-py listen``: webhooks of a running server reach a receiver that has no address, such as one on a laptop."""

import argparse
import signal
import sys
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from sockudo_py.cli.live.options import add_server
from sockudo_py.cli.options import FAILED, OK, Env, examples
from sockudo_py.errors import ConfigError

_PROFILES = ("pusher", "sockudo", "pulse", "realcast", "remotedevai", "irisx", "standard")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "listen",
        help="forward an app's webhooks to a receiver on this machine",
        description="Forward an app's webhooks to a receiver that the server can't reach, such as one on a laptop. The "
        "server keeps the events in a feed; this command reads it, and posts each request as the server would, signed. "
        "An event leaves the feed after the receiver has answered with 2xx; until then it is sent again, and those "
        "behind it wait. Ctrl-C ends it; events that come meanwhile wait in the feed, which stays until --delete.",
        **examples(
            "sockudo-py listen --app my-app --name laptop --forward http://localhost:3000/hook",
            "sockudo-py listen --app my-app --name laptop --forward http://localhost:3000/hook "
            "--events member_added,member_removed --url https://ws.example.com",
            "sockudo-py listen --app my-app --name laptop --delete",
        ),
    )
    parser.add_argument("--app", required=True, metavar="APP", help="id of the app")
    parser.add_argument("--name", required=True, metavar="NAME", help="of the webhook, which is made if it is missing")
    parser.add_argument("--forward", metavar="RECEIVER", help="URL of the receiver")
    parser.add_argument("--events", metavar="TYPES", help="event types, separated by commas (default of a new one: *)")
    parser.add_argument("--profile", choices=_PROFILES, help="signature and envelope (default of a new one: pusher)")
    parser.add_argument("--delete", action="store_true", help="delete the webhook with all that waits in it, and end")
    add_server(parser)
    parser.set_defaults(run=_listen)


def _listen(options: argparse.Namespace, env: Env) -> int:
    # Here, not above: `start` has no use for them.
    from sockudo_py.cli.live.feed import FeedWebhook
    from sockudo_py.cli.live.forwarding import Forwarder, Receiver
    from sockudo_py.cli.live.server import server_of

    if options.delete == (options.forward is not None):
        raise ConfigError(["give --forward RECEIVER, or --delete"])
    server = server_of(options, env, absent=not options.delete)
    webhook = FeedWebhook(server, options.app, options.name, _types(options.events), options.profile)
    if options.delete:
        gone = webhook.delete()
        print(f"deleted {gone}" if gone else f"app {options.app} has no feed named {options.name}")
        return OK if gone else FAILED
    receiver = Receiver(_checked(options.forward))
    forwarder = Forwarder(webhook, receiver, _say)
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        forwarder.run()
    except KeyboardInterrupt:
        _say(f"ended; {forwarder.count} forwarded. What comes from now on waits in the feed")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        receiver.close()
    return OK


def _types(text: str | None) -> list[str] | None:
    if text is None:
        return None
    types = [word.strip() for word in text.split(",") if word.strip()]
    if not types:
        raise ConfigError(["--events: names no event type; give some, as channel_occupied,member_added, or *"])
    return types


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = None
    if not usable or not url.isascii() or any(not char.isprintable() or char == " " for char in url):
        raise ConfigError([f"--forward {url}: must be http://HOST[:PORT]/PATH or https://..."])
    return url


def _interrupt(number: int, frame: FrameType | None) -> Any:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line)
    sys.stdout.flush()  # a person may wait for it, also behind a pipe
