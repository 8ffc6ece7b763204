"""The route of the OpenAPI document."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from sockudo_py.http.description.notation import OBJECT
from sockudo_py.management.openapi.document import document
from sockudo_py.management.requests.router import Route
from sockudo_py.management.requests.values import Answer, Asked


class OpenApiRoutes:
    """Serves the document.

    Args:
        routes: Returns all management routes that are served.
        prefix: The configured path prefix.
    """

    def __init__(self, routes: Callable[[], Iterable[Route]], prefix: str = "") -> None:
        self._routes = routes
        self._prefix = prefix
        self._made: dict[str, Any] | None = None
        self.table = (Route("GET", "/openapi.json", self.show, access="open", answers={200: OBJECT}, tag="Document"),)

    async def show(self, asked: Asked) -> Answer:
        """Show this document."""
        if self._made is None:
            self._made = await asyncio.to_thread(document, self._routes(), prefix=self._prefix)  # 50 ms, once
        return Answer(200, self._made)
