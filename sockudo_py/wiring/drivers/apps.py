"""The app manager, and what endpoints may be. Each is imported inside its ``case``: unused ones cost nothing."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from sockudo_py.apps.base import AppManager
from sockudo_py.apps.definition import app_reader, define_apps, define_operators, row_reader
from sockudo_py.config import Config
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import ConfigError
from sockudo_py.metrics import Metrics
from sockudo_py.webhooks.endpoints.validation import EndpointRules, endpoint_problems
from sockudo_py.wiring.drivers.missing import INSTALL_AWS, has_aws
from sockudo_py.wiring.tls import certificate_problems

log = logging.getLogger(__name__)


_NO_FEEDS = "SQS can't serve the events of one endpoint in order; set queue.driver to sqlite or redis"


def endpoint_rules(config: Config) -> EndpointRules:
    """Return what endpoints may be, for ``start`` and ``check-config`` alike."""
    security = config.webhooks.security
    return EndpointRules(
        require_https=security.require_https,
        allowed_ports=security.allowed_ports,
        max_headers=security.max_custom_headers,
        max_header_value_bytes=security.max_header_value_bytes,
        allowed_functions=frozenset(security.allowed_functions),
        feeds=_NO_FEEDS if config.queue.driver == "sqs" else None,
        functions=None if has_aws() else f"boto3 is not installed; install it: {INSTALL_AWS}",
    )


def make_apps(config: Config, rules: EndpointRules, metrics: Metrics) -> AppManager:
    """Return the app manager of ``app_manager.driver``."""

    def check(endpoint: Endpoint) -> Sequence[str]:
        return [*endpoint_problems(endpoint, rules), *certificate_problems(endpoint)]

    match config.app_manager.driver:
        case "memory" | "array":
            from sockudo_py.apps.config import ConfigApps

            return ConfigApps(define_apps(config, check))
        case "file":
            from sockudo_py.apps.file import FileApps

            folder = config.app_manager.file
            if folder.path is None:
                raise ConfigError(["app_manager.file.path: is missing; name the folder with the apps' files"])
            read = app_reader(config, os.environ, check, log.warning)
            return FileApps(
                Path(folder.path),
                read,
                interval=folder.poll_interval,
                watch=folder.reload,
                named=config.named("app_manager.file.path"),
            )
        case "postgres" | "mysql" | "dynamodb":
            from sockudo_py.wiring.drivers.databases import database_apps

            return database_apps(config, row_reader(config, check), metrics)
        case _:
            assert_never(config.app_manager.driver)


def make_operators(config: Config, rules: EndpointRules) -> tuple[Endpoint, ...]:
    """Return the endpoints of ``webhooks.operators``. Raises ConfigError."""

    def check(endpoint: Endpoint) -> Sequence[str]:
        return [*endpoint_problems(endpoint, rules), *certificate_problems(endpoint)]

    return define_operators(config, check)
