"""What the endpoint store says of endpoints, where no server is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sockudo_py.config import Config
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import ConfigError
from sockudo_py.management.endpoints.documents import OVERRIDE, Broken, Document, read_document, read_override
from sockudo_py.management.endpoints.making import define
from sockudo_py.metrics import Metrics
from sockudo_py.protocol.app import App
from sockudo_py.stores.endpoints.base import Row


@dataclass(frozen=True, slots=True)
class Known:
    """Endpoints of the configuration, as they were switched, and those that the API has made, with their documents."""

    endpoints: Sequence[Endpoint]
    documents: Mapping[str, Document]


async def known(config: Config, endpoints: Sequence[Endpoint]) -> Known:
    """Return what there is. ``endpoints``: those of the configuration. Raises SockudoError, Unavailable."""
    rows = await _rows(config)
    documents: dict[str, Document] = {}
    made: list[Endpoint] = []
    for key, row in rows.items():
        try:
            if not key.startswith(OVERRIDE):
                document = read_document(key, row.text)
                made.append(define(document, App(id=document.app_id, keys=()), config.webhooks))
                documents[key] = document
        except (Broken, ValueError, ConfigError):  # the server's log names it
            continue
    return Known([_switched(endpoint, rows) for endpoint in (*endpoints, *made)], documents)


async def _rows(config: Config) -> Mapping[str, Row]:
    from sockudo_py.wiring.drivers.queues import make_endpoint_store, store_driver

    match store_driver(config):
        case "sqlite":
            return _in_file(Path(config.queue.sqlite.path))
        case "redis":
            store = make_endpoint_store(config, Metrics(), None)
            try:
                return (await store.load()).rows
            finally:
                await store.close()
        case _:
            return {}


def _in_file(path: Path) -> Mapping[str, Row]:
    from sockudo_py.stores.endpoints.sqlite import look

    return look(path) if path.exists() else {}


def _switched(endpoint: Endpoint, rows: Mapping[str, Row]) -> Endpoint:
    row = rows.get(OVERRIDE + endpoint.uid)
    if row is None:
        return endpoint
    try:
        override = read_override(row.text)
    except Broken:
        return endpoint
    return replace(endpoint, enabled=override.enabled) if override.holds(endpoint) else endpoint
