"""``sockudo-py check-config``."""

import argparse
import sys
from collections.abc import Iterable, Sequence

from sockudo_py.apps.base import AppDefinition
from sockudo_py.cli.options import FAILED, OK, Env, add_config, apps_of, config_path, examples
from sockudo_py.cli.shown import number
from sockudo_py.config import NO_QUEUE, Config, load
from sockudo_py.config.sections.types import AUTO
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import ConfigError
from sockudo_py.process.cpus import usable_cpus


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    text = "validate a configuration: list every mistake, or summarise it"
    parser = commands.add_parser(
        "check-config",
        help=text,
        description=f"{text.capitalize()}. Opens no port and no queue, and makes no file. Ends with 0, or with 1 when "
        "there is a mistake.",
        **examples("sockudo-py check-config config.json", "PORT=8080 sockudo-py check-config"),
    )
    add_config(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, env: Env) -> int:
    """List every mistake, or print what the configuration amounts to."""
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
            _check_operators,
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
        for line in (*problems, number(len(problems), "mistake")):
            print(line, file=sys.stderr)
        return FAILED
    for warning in warnings:
        print(f"warning: {warning}")
    print("\n".join(_summary(config, apps)))
    return OK


def _check_built(config: Config) -> None:
    from sockudo_py.wiring.drivers.missing import refuse_unbuilt

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


def _check_operators(config: Config) -> None:
    from sockudo_py.wiring.drivers.apps import endpoint_rules, make_operators

    make_operators(config, endpoint_rules(config))


def _check_tls(config: Config) -> None:
    from sockudo_py.wiring.tls import server_context

    if config.ssl.enabled:
        server_context(config)


def _summary(config: Config, apps: Sequence[AppDefinition]) -> Iterable[str]:
    scheme = "https and wss" if config.ssl.enabled else "http and ws"
    yield f"{config.origin}: OK"
    yield f"  listens   {config.host}:{config.port}{config.url_prefix} ({scheme}), {_workers(config)}"
    if config.metrics.enabled:
        yield f"  metrics   {config.metrics_host}:{config.metrics.port}"
    yield (
        f"  drivers   adapter {config.adapter.driver}, cache {config.cache.driver}, queue {config.queue.driver}, "
        f"rate limiter {config.rate_limiter.driver}, apps {config.app_manager.driver}"
    )
    if config.app_manager.in_database:
        yield "  apps      in the database, which this check does not ask"
        return
    yield f"  apps      {len(apps)}"
    for definition in apps:
        app = definition.app
        yield f"    {app.id}: {number(len(app.keys), 'key')}{'' if app.enabled else ', disabled'}"
        for endpoint in definition.endpoints:
            yield f"      webhook {endpoint.name or endpoint.uid}: {_endpoint(endpoint)}"


def _workers(config: Config) -> str:
    if config.workers == AUTO:
        return f"workers auto ({usable_cpus()} on this machine)"
    return number(config.workers, "worker")


def _endpoint(endpoint: Endpoint) -> str:
    # Of the URL only the host: the path of some receivers is their secret.
    host = endpoint.url.split("/")[2] if endpoint.url else ""
    target = f"lambda {endpoint.function.function_name}" if endpoint.function else "feed" if endpoint.feed else host
    state = "" if endpoint.enabled else ", disabled"
    events = ", ".join(sorted(endpoint.event_types)) or "no events"
    retries = number(len(endpoint.retry.schedule), "retry", "retries")
    return f"{target}, {events}, {endpoint.profile}, {retries}{state}"
