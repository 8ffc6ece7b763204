"""What is different between two sets of apps."""

from collections.abc import Iterable
from dataclasses import fields

from sockudo_py.apps.base import AppChanged, AppDefinition
from sockudo_py.endpoints import Endpoint
from sockudo_py.protocol.app import App


def changes(before: Iterable[AppDefinition], after: Iterable[AppDefinition]) -> list[AppChanged]:
    """Return what is different, first the changes that free the uid of an endpoint: another app may have it now."""
    old = {definition.app.id: definition for definition in before}
    new = {definition.app.id: definition for definition in after}
    found = [AppChanged(old.get(app_id), new.get(app_id)) for app_id in {**old, **new}]
    changed = [change for change in found if not same(change.old, change.new)]
    return sorted(changed, key=lambda change: not _uids(change.old) - _uids(change.new))


def same(one: AppDefinition | None, other: AppDefinition | None) -> bool:
    """Return whether two definitions say the same, though apps and endpoints are compared by identity elsewhere."""
    if one is other:
        return True
    if one is None or other is None or len(one.endpoints) != len(other.endpoints):
        return False
    if one.event_types != other.event_types:
        return False
    endpoints = zip(one.endpoints, other.endpoints, strict=True)
    return _equal(one.app, other.app) and all(_equal(mine, yours) for mine, yours in endpoints)


def _equal(one: App | Endpoint, other: App | Endpoint) -> bool:
    return all(getattr(one, field.name) == getattr(other, field.name) for field in fields(one))


def _uids(definition: AppDefinition | None) -> set[str]:
    return set() if definition is None else {endpoint.uid for endpoint in definition.endpoints}
