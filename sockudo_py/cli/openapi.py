"""``sockudo-py openapi``."""

import argparse
import asyncio
import json
from typing import Any

from sockudo_py.cli.options import OK, Env, examples


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    text = "print the OpenAPI document of the HTTP API and the management API"
    parser = commands.add_parser(
        "openapi",
        help=text,
        description=f"{text.capitalize()}, without a server. A running one serves its own at /openapi.json.",
        **examples("sockudo-py openapi > docs/openapi.json", "sockudo-py openapi --reference > docs/api-reference.md"),
    )
    parser.add_argument("--reference", action="store_true", help="print docs/api-reference.md instead")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, env: Env) -> int:
    """Print the document, or the page that is made of it."""
    # Here, not above: no other command needs it.
    from sockudo_py.management.openapi.page import page

    document = asyncio.run(_document())
    print(page(document) if options.reference else json.dumps(document, indent=1, ensure_ascii=False))
    return OK


async def _document() -> dict[str, Any]:
    """Return the document of a server that keeps everything in memory. It is made and never started."""
    from sockudo_py.config import load
    from sockudo_py.wiring.server import Server

    return Server(load(None, {"QUEUE_DRIVER": "memory"})).openapi()
