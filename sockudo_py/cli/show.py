"""``sockudo-py print-config``."""

import argparse
import json

from sockudo_py.cli.options import OK, Env, add_config, config_path, examples
from sockudo_py.config import load
from sockudo_py.config.printing.describe import redacted
from sockudo_py.endpoints import PRESETS


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    text = "print the effective configuration, secrets as ***"
    parser = commands.add_parser(
        "print-config",
        help=text,
        description=f"{text.capitalize()}. Of webhook URLs only the host is shown.",
        **examples("sockudo-py print-config config.json", "sockudo-py print-config --defaults > config.example.json"),
    )
    add_config(parser)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--defaults", action="store_true", help="print every key with its default instead")
    kind.add_argument("--reference", action="store_true", help="print docs/configuration.md instead")
    kind.add_argument("--migrating", action="store_true", help="print docs/moving/settings.md instead")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, env: Env) -> int:
    """Print the configuration, or the page that an option names."""
    # Here, not above: `start` has no use for it.
    from sockudo_py.config.printing.migrating import page
    from sockudo_py.config.printing.reference import example, reference

    if options.defaults:
        print(example(), end="")
    elif options.migrating:
        print(page())
    elif options.reference:
        print(reference(_presets(), _profiles()))
    else:
        print(json.dumps(redacted(load(config_path(options), env)), indent=2))
    return OK


def _presets() -> dict[str, tuple[tuple[float, ...], str, float]]:
    return {name: (preset.schedule, preset.retry_on, preset.request_timeout) for name, preset in PRESETS.items()}


def _profiles() -> dict[str, tuple[str, str]]:
    from sockudo_py.webhooks.endpoints.profiles import SCHEMES

    return {
        name: (scheme.header, f"{scheme.prefix}{scheme.encoding} of {scheme.content}")
        for name, scheme in SCHEMES.items()
    }
