"""Which apps and endpoints a key may see. What it may not see does not exist for it."""

from sockudo_py.endpoints import Endpoint
from sockudo_py.management.credentials.keys import EVERY_APP, Admin
from sockudo_py.management.requests.values import Refused


def app_of(admin: Admin, asked: str | None) -> str | None:
    """Return the app that a request is about; None: all. An admin of some apps sees no others.

    Args:
        admin: Who asks.
        asked: The app that the request names, in its path or as ``app_id``.
    """
    if EVERY_APP in admin.apps:
        return asked
    if asked is None:
        if len(admin.apps) == 1:
            return next(iter(admin.apps))
        raise Refused(400, "app_id_required", "app_id is missing: the key is for several apps")
    if asked not in admin.apps:
        raise Refused(404, "not_found", "there is no such app")
    return asked


def one_app_of(admin: Admin, asked: str | None) -> str:
    """Return the app that a request is about, where it must be about one."""
    app_id = app_of(admin, asked)
    if app_id is None:
        raise Refused(400, "app_id_required", "app_id is missing: the key is for all apps")
    return app_id


def may_see(admin: Admin, endpoint: Endpoint) -> bool:
    """Return whether the endpoint belongs to an app of the key."""
    return EVERY_APP in admin.apps or endpoint.app_id in admin.apps


def unknown_webhook(wanted: str) -> Refused:
    """Return the answer for an endpoint that is not there, or not for this key."""
    return Refused(404, "unknown_webhook", f"there is no webhook {wanted[:200]}")
