"""``sockudo-py admin-key``: make a key for the management API."""

import argparse
import hashlib
import json
from typing import Any

from sockudo_py.cli.options import OK, Env, examples
from sockudo_py.management.credentials.keys import new_key


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "admin-key",
        help="make a key for the management API",
        description="Make a key for the management API, and print it with what the configuration needs of it: its "
        "SHA-256, by which the server knows it. The key is shown this once, and kept nowhere. A running server takes "
        "it up at a reload (SIGHUP).",
        **examples(
            "sockudo-py admin-key                                # for all apps",
            "sockudo-py admin-key --name shop --app 17 --app 18",
            "sockudo-py admin-key --name grafana --read-only",
        ),
    )
    parser.add_argument("--name", metavar="NAME", help="name of the key in the audit log")
    parser.add_argument(
        "--app", action="append", metavar="ID", help="app that the key is for; may be repeated (default: all)"
    )
    parser.add_argument("--read-only", action="store_true", help="the key may read, and change nothing")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, env: Env) -> int:
    """Print a key."""
    key = new_key()
    entry: dict[str, Any] = {"name": options.name} if options.name else {}
    entry["sha256"] = hashlib.sha256(key.encode()).hexdigest()
    if options.app:
        entry["apps"] = options.app
    if options.read_only:
        entry["scopes"] = ["read"]
    print(f"key     {key}")
    print(f"sha256  {entry['sha256']}")
    print("\nKeep the key; it is shown this once. Put this into the configuration, and reload or restart the server:\n")
    print(json.dumps({"webhooks": {"admin": {"api_keys": [entry]}}}, indent=2))
    print("\nThen: curl -H 'Authorization: Bearer KEY' http://localhost:6001/api/webhooks")
    return OK
