"""Pulse's route for the webhook of a project, which is an app here."""

import hashlib
from typing import Any

from sockudo_py.management.endpoints.editing import Edited, Editor
from sockudo_py.management.endpoints.managed import ManagedEndpoints
from sockudo_py.management.endpoints.shapes import shape
from sockudo_py.management.requests.aliases import API
from sockudo_py.management.requests.answers import PROJECT
from sockudo_py.management.requests.models import ProjectBody, read
from sockudo_py.management.requests.router import Route
from sockudo_py.management.requests.scope import one_app_of
from sockudo_py.management.requests.values import Answer, Asked, Refused
from sockudo_py.stores.endpoints.base import Conflict

EVERY_EVENT = ("*",)


class ProjectRoutes:
    """Sets the primary endpoint of an app: there is one, however often and by however many servers it is set.

    Args:
        managed: The endpoints that there are.
        editor: Changes it.
    """

    def __init__(self, managed: ManagedEndpoints, editor: Editor) -> None:
        self._managed = managed
        self._editor = editor
        self.table = (
            Route(
                "PUT",
                "/api/v1/projects/{app}",
                self.put,
                body=ProjectBody,
                answers={200: PROJECT, 201: PROJECT},
                example={"webhook_url": "https://example.com/webhooks", "events": ["room.started"]},
                tag="Endpoints",
            ),
        )

    async def put(self, asked: Asked) -> Answer:
        """Make the endpoint, or give it this URL and these events; without ``events``: all."""
        app_id = one_app_of(asked.admin, asked.app_id)
        body = read(ProjectBody, asked.body)
        events = list(EVERY_EVENT if body.events is None else body.events)
        fields = {"url": body.webhook_url, "event_types": events}
        uid = primary_uid(app_id)
        for _ in range(2):
            if self._managed.document(uid) is not None:
                edited = await self._editor.update(asked.admin, uid, fields, merge=True)
                return Answer(200, self._shown(app_id, edited))
            try:
                edited = await self._editor.create(asked.admin, app_id, "pulse", {"name": "Pulse", **fields}, uid)
            except Conflict:  # another server has made it just now
                continue
            return Answer(201, {**self._shown(app_id, edited), "secret": edited.secret})
        raise Refused(409, "conflict", "others keep changing this webhook; try again")

    def _shown(self, app_id: str, edited: Edited) -> dict[str, Any]:
        endpoint = edited.endpoint
        webhook = shape(endpoint, self._managed.document(endpoint.uid), API)
        if edited.secret is not None:
            webhook["secret"] = edited.secret
        shown = {
            "project_id": app_id,
            "webhook_url": endpoint.url,
            "events": webhook["events"],
            "webhook": webhook,
        }
        return {**shown, "warnings": list(edited.warnings)} if edited.warnings else shown


def primary_uid(app_id: str) -> str:
    """Return the uid of the endpoint that ``PUT /api/v1/projects/{app}`` sets."""
    return f"wh_pulse_{hashlib.sha256(app_id.encode()).hexdigest()[:24]}"
