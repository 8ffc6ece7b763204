"""What the server does about its apps: at the start, and when one is added, changed or removed."""

import logging
from collections.abc import Iterable, Iterator

from sockudo_py import logs
from sockudo_py.apps.base import AppChanged, AppDefinition
from sockudo_py.config import NO_QUEUE, Config
from sockudo_py.errors import ConfigError
from sockudo_py.management.endpoints.managed import ManagedEndpoints
from sockudo_py.node import Node
from sockudo_py.webhooks.endpoints.registry import CONFIG
from sockudo_py.webhooks.service import WebhookService

log = logging.getLogger(__name__)


class AppChanges:
    """Brings apps to webhooks, node and management, and hides their secrets from the log."""

    def __init__(self, config: Config, webhooks: WebhookService, node: Node, managed: ManagedEndpoints) -> None:
        self._config = config
        self._webhooks = webhooks
        self._node = node
        self._managed = managed
        self._warned_of_no_queue = False

    def use(self, config: Config) -> None:
        """Go by a configuration that was reloaded."""
        self._config = config

    def begin(self, apps: Iterable[AppDefinition]) -> None:
        """Take the apps of the start. Raises ConfigError for endpoints that can't be used, but not with a database."""
        for definition in apps:
            logs.hide(_secrets(definition))
            self._take_endpoints(definition)
            self._warn_of_no_queue(definition)

    def _take_endpoints(self, definition: AppDefinition) -> None:
        """Register the endpoints of an app at the start. A row of a database must not keep the server from starting."""
        app_id = definition.app.id
        try:
            self._webhooks.replace(app_id, CONFIG, definition.endpoints)
            self._webhooks.catalogue.replace(app_id, definition.event_types)
        except ConfigError as problem:
            if not self._config.app_manager.in_database:
                raise
            log.error("webhooks of app %s are left out: %s", app_id, problem, extra={"app_id": app_id})

    def changed(self, change: AppChanged) -> None:
        """Follow the change of an app while the server runs."""
        old, new = change.old, change.new
        if new is not None:
            logs.hide(_secrets(new))
            self._warn_of_no_queue(new)
        app_id = new.app.id if new is not None else old.app.id if old is not None else ""
        if new is not None:
            try:
                self._webhooks.replace(app_id, CONFIG, new.endpoints)
                self._webhooks.catalogue.replace(app_id, new.event_types)
            except ConfigError as problem:
                log.error("webhooks of app %s stay as they were: %s", app_id, problem, extra={"app_id": app_id})
        if old is not None and (new is None or old.app.id != new.app.id):
            self._webhooks.remove(old.app.id)
        self._managed.app_changed(app_id)
        log.info("app %s: %s", app_id, _what_happened(old, new), extra={"app_id": app_id})
        self._node.app_changed(old.app if old else None, new.app if new else None)

    def _warn_of_no_queue(self, definition: AppDefinition) -> None:
        """Warn once. About apps in the configuration itself load() has warned already."""
        warned = self._config.app_manager.driver in ("memory", "array") or self._warned_of_no_queue
        if self._config.queue.driver == "none" and definition.endpoints and not warned:
            self._warned_of_no_queue = True
            log.warning("%s", self._config.problem("queue.driver", *NO_QUEUE))


def _what_happened(old: AppDefinition | None, new: AppDefinition | None) -> str:
    if old is None:
        return "added"
    if new is None:
        return "removed"
    if old.app.enabled != new.app.enabled:
        return "enabled" if new.app.enabled else "disabled"
    return "changed"


def _secrets(definition: AppDefinition) -> Iterator[str]:
    """Yield what the log must never show. Apps of a folder are not in the configuration that set the log up."""
    for pair in definition.app.keys:
        yield pair.secret.decode(errors="replace")
    for endpoint in definition.endpoints:
        for secret in endpoint.secrets:
            yield secret.value
