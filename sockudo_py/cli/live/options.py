"""The options that say which server is meant."""

import argparse

from sockudo_py.cli.options import add_config

KEY = "SOCKUDO_ADMIN_KEY"


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which server is meant."""
    add_config(parser, positional=False)
    parser.add_argument(
        "--url",
        metavar="URL",
        help=f"of the server, such as https://ws.example.com with its path prefix; the admin key is read from {KEY}. "
        "Without this option the server of the configuration is asked on its admin socket",
    )
