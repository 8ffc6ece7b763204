"""Options that several commands have, and the apps of a configuration."""

import argparse
import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sockudo_py.apps.base import AppDefinition
from sockudo_py.apps.definition import app_reader, define_apps
from sockudo_py.config import Config
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import ConfigError

Env = Mapping[str, str]

OK, FAILED, UNUSABLE = 0, 1, 2  # UNUSABLE: the command line or the configuration, as argparse has it


def examples(*lines: str) -> dict[str, Any]:
    """Return the arguments that make a parser show examples behind its options."""
    epilog = "\n".join(["examples:", *(f"  {line}" for line in lines)])
    return {"epilog": epilog, "formatter_class": _Help}


class _Help(argparse.HelpFormatter):
    """Breaks descriptions into lines, and leaves the lines of examples alone."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("examples:") else super()._fill_text(text, width, indent)


def add_config(parser: argparse.ArgumentParser, *, positional: bool = True) -> None:
    """Add ``--config FILE``; with ``positional`` the file may stand without the option."""
    if positional:
        parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="configuration file, as with --config")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration file; without one variables make the app, else it is a demo",
    )


def config_path(options: argparse.Namespace) -> Path | None:
    """Return the file that was named; None: none was. Raises ConfigError when two were."""
    file: Path | None = getattr(options, "file", None)
    named: Path | None = options.config
    if file is not None and named is not None and file != named:
        raise ConfigError([f"two configuration files: {file} and --config {named}; name one"])
    return file or named


def apps_of(config: Config, env: Env, on_warning: Callable[[str], None]) -> list[AppDefinition]:
    """Return the apps; none where a database has them. Raises ConfigError with what is wrong with any of them."""
    from sockudo_py.webhooks.endpoints.validation import endpoint_problems
    from sockudo_py.wiring.drivers.apps import endpoint_rules
    from sockudo_py.wiring.tls import certificate_problems

    rules = endpoint_rules(config)

    def check(endpoint: Endpoint) -> list[str]:
        return [*endpoint_problems(endpoint, rules), *certificate_problems(endpoint)]

    manager = config.app_manager
    if manager.in_database:
        return []  # nothing is opened here
    if manager.driver != "file" or manager.file.path is None:
        return define_apps(config, check)
    # Here, not above: `start` has use for it only with this driver, and imports it then.
    from sockudo_py.apps.file import FileApps

    named = config.named("app_manager.file.path")
    read = app_reader(config, env, check, on_warning)
    folder = FileApps(Path(manager.file.path), read, watch=False, named=named)
    # In a loop of its own, in a thread: the caller may have one running.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, folder.start(lambda _: None)).result()
    return list(folder.all())
