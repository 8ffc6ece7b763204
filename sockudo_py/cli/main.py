"""The command line: ``start``, ``check-config``, ``print-config``, ``webhooks``."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from sockudo_py import __version__, logs
from sockudo_py.apps.base import AppDefinition
from sockudo_py.cli import webhooks
from sockudo_py.cli.options import add_config, apps_of, config_path
from sockudo_py.config import NO_QUEUE, Config, load
from sockudo_py.config.describe import redacted
from sockudo_py.endpoints import PRESETS, Endpoint
from sockudo_py.errors import ConfigError, SockudoError
from sockudo_py.process.imports import gc_paused
from sockudo_py.process.log_setup import set_up_log

OK, FAILED, UNUSABLE = 0, 1, 2  # UNUSABLE: the command line or the configuration, as argparse has it


def main(arguments: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run a command and return the exit code: 0; 1: it failed; 2: command line or configuration are unusable."""
    options = _parser().parse_args(arguments)
    env = os.environ if env is None else env
    try:
        code: int = options.run(options, env)
    except ConfigError as error:
        _complain(error.problems)
        return UNUSABLE
    except SockudoError as error:
        _complain([str(error)])
        return FAILED
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sockudo-py", description="A self-hosted, Pusher-compatible realtime server with webhooks."
    )
    parser.add_argument("--version", action="version", version=f"sockudo-py {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    start = commands.add_parser("start", help="run the server until SIGTERM or SIGINT")
    add_config(start)
    start.set_defaults(run=_start)

    check = commands.add_parser("check-config", help="validate a configuration: list every mistake, or summarise it")
    add_config(check)
    check.set_defaults(run=_check)

    show = commands.add_parser("print-config", help="print the effective configuration, secrets as ***")
    add_config(show)
    kind = show.add_mutually_exclusive_group()
    kind.add_argument("--defaults", action="store_true", help="print every key with its default instead")
    kind.add_argument("--reference", action="store_true", help="print docs/configuration.md instead")
    kind.add_argument("--migrating", action="store_true", help="print docs/moving/settings.md instead")
    show.set_defaults(run=_print)

    webhooks.add_commands(commands)
    return parser


def _start(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    config = load(config_path(options), env)
    handler = set_up_log(config)
    for warning in config.warnings:
        logging.getLogger("sockudo_py.config").warning("%s", warning)
    # Here, not above: the other commands need not import the whole server.
    with gc_paused():
        from sockudo_py.wiring import run

    try:
        return run(config, banner=sys.stderr.isatty())
    except SockudoError as error:
        if not isinstance(handler.formatter, logs.JsonFormatter):
            raise
        problems = error.problems if isinstance(error, ConfigError) else [str(error)]
        for problem in problems:
            logging.getLogger("sockudo_py.start").error("can't start: %s", problem)
        return UNUSABLE if isinstance(error, ConfigError) else FAILED


def _check(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    problems: list[str] = []
    apps: list[AppDefinition] = []
    warnings: list[str] = []
    try:
        config = load(config_path(options), env)
    except ConfigError as error:
        problems = error.problems
    else:
        warnings += config.warnings
        config, spared = _spare_queue(config)
        warnings += [spared] if spared else []
        for step in (
            _check_built,
            _check_machine,
            _check_bundle,
            _check_tls,
            lambda config: apps.extend(apps_of(config, env, warnings.append)),
        ):
            try:
                step(config)
            except ConfigError as error:
                problems += error.problems
        in_folder = config.app_manager.driver == "file"  # with the other drivers, load() has warned
        if config.queue.driver == "none" and in_folder and any(app.endpoints for app in apps):
            warnings.append(config.problem("queue.driver", *NO_QUEUE))
    if problems:
        _complain([*problems, f"{len(problems)} mistake{'s' if len(problems) > 1 else ''}"])
        return FAILED
    for warning in warnings:
        print(f"warning: {warning}")
    print("\n".join(_summary(config, apps)))
    return OK


def _print(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    # Here, not above: `start` has no use for it.
    from sockudo_py.config.migrating import page
    from sockudo_py.config.reference import example, reference

    if options.defaults:
        print(example(), end="")
    elif options.migrating:
        print(page())
    elif options.reference:
        print(reference(_presets(), _profiles()))
    else:
        print(json.dumps(redacted(load(config_path(options), env)), indent=2))
    return OK


def _check_built(config: Config) -> None:
    from sockudo_py.wiring.drivers import refuse_unbuilt

    refuse_unbuilt(config)


def _spare_queue(config: Config) -> tuple[Config, str | None]:
    from sockudo_py.wiring.checks import spare_needless_queue

    return spare_needless_queue(config)


def _check_machine(config: Config) -> None:
    from sockudo_py.wiring.checks import unusable

    if problems := unusable(config):
        raise ConfigError(problems)


def _check_bundle(config: Config) -> None:
    from sockudo_py.wiring.tls import webhook_context

    webhook_context(config)


def _check_tls(config: Config) -> None:
    from sockudo_py.wiring.tls import server_context

    if config.ssl.enabled:
        server_context(config)


def _summary(config: Config, apps: Sequence[AppDefinition]) -> Iterable[str]:
    scheme = "https and wss" if config.ssl.enabled else "http and ws"
    yield f"{config.origin}: OK"
    yield f"  listens   {config.host}:{config.port}{config.url_prefix} ({scheme}), {config.workers} worker(s)"
    if config.metrics.enabled:
        yield f"  metrics   {config.metrics_host}:{config.metrics.port}"
    yield (
        f"  drivers   adapter {config.adapter.driver}, cache {config.cache.driver}, queue {config.queue.driver}, "
        f"rate limiter {config.rate_limiter.driver}, apps {config.app_manager.driver}"
    )
    yield f"  apps      {len(apps)}"
    for definition in apps:
        app = definition.app
        yield f"    {app.id}: {len(app.keys)} key(s){'' if app.enabled else ', disabled'}"
        for endpoint in definition.endpoints:
            yield f"      webhook {endpoint.name or endpoint.uid}: {_endpoint(endpoint)}"


def _endpoint(endpoint: Endpoint) -> str:
    # Of the URL only the host: the path of some receivers is their secret.
    host = endpoint.url.split("/")[2] if endpoint.url else ""
    target = f"lambda {endpoint.function.function_name}" if endpoint.function else host
    state = "" if endpoint.enabled else ", disabled"
    events = ", ".join(sorted(endpoint.event_types)) or "no events"
    return f"{target}, {events}, {endpoint.profile}, {len(endpoint.retry.schedule)} retries{state}"


def _presets() -> dict[str, tuple[tuple[float, ...], str, float]]:
    return {name: (preset.schedule, preset.retry_on, preset.request_timeout) for name, preset in PRESETS.items()}


def _profiles() -> dict[str, tuple[str, str]]:
    from sockudo_py.webhooks.endpoints.profiles import SCHEMES

    return {
        name: (scheme.header, f"{scheme.prefix}{scheme.encoding} of {scheme.content}")
        for name, scheme in SCHEMES.items()
    }


def _complain(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)
