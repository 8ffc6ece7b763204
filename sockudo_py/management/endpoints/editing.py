"""Changes of endpoints: made, replaced, merged, switched, given another secret, deleted."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sockudo_py.apps.base import AppManager
from sockudo_py.endpoints import Endpoint, ProfileName, Secret
from sockudo_py.management.audit import audit_line
from sockudo_py.management.credentials.keys import Admin
from sockudo_py.management.endpoints.documents import (
    ORDER,
    OVERRIDE,
    RESYNC_DUE,
    Document,
    encode_note,
    encode_override,
)
from sockudo_py.management.endpoints.making import blocked, new_secret, new_uid, refuse, signs_itself
from sockudo_py.management.endpoints.managed import Define, ManagedEndpoints
from sockudo_py.management.requests.models import MASK, EndpointBody, merged, named_once, read
from sockudo_py.management.requests.values import FieldProblem, Refused
from sockudo_py.protocol.app import App
from sockudo_py.stores.endpoints.base import Conflict, Write
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry, Override
from sockudo_py.webhooks.endpoints.validation import EndpointRules, problems_of

MOST_OF_AN_APP = 1000  # endpoints that the API makes for one app
_TRIES = 20  # of a change that others keep overtaking
_TARGETS = ("url", "lambda", "feed")
_PREVIOUS = 3  # secrets that were replaced and may still sign

Permits = Callable[[str], Awaitable[bool | None]]


@dataclass(frozen=True, slots=True)
class Edited:
    """An endpoint after a change. ``secret``: the one that was made or given just now; None: there is no new one."""

    endpoint: Endpoint
    secret: str | None = None
    warnings: tuple[str, ...] = ()
    created: bool = False


class Editor:
    """Changes endpoints in the store.

    Args:
        managed: The endpoints that there are.
        registry: All endpoints, those of the configuration too.
        apps: The apps.
        define: Makes the endpoint of a document.
        rules: What endpoints may be.
        permits: Says whether a URL leads to an address that is allowed; None: its host has no address now.
        sends: Webhooks are sent at all.
        clock: Unix seconds.
    """

    def __init__(
        self,
        managed: ManagedEndpoints,
        registry: EndpointRegistry,
        *,
        apps: AppManager,
        define: Define,
        rules: EndpointRules,
        permits: Permits,
        sends: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._managed = managed
        self._registry = registry
        self._apps = apps
        self._define = define
        self._rules = rules
        self._permits = permits
        self._sends = sends
        self._clock = clock
        self._creating = asyncio.Lock()

    async def create(
        self, by: Admin, app_id: str, profile: ProfileName, body: Mapping[str, Any], uid: str | None = None
    ) -> Edited:
        """Make an endpoint. ``profile``: for bodies that name none; ``uid``: its identity, where it is given.

        Raises Refused, and Conflict when ``uid`` is taken.
        """
        app = self._app(app_id)
        self._room(app_id)
        spec, given = _spec(body)
        now_ms = self._now_ms()
        draft = Document(uid or new_uid(now_ms), 1, app_id, profile, spec, (), now_ms, now_ms)
        draft, secret = self._with_secret(draft, app, given)
        warnings = await self._check(draft, app)
        async with self._creating:
            self._room(app_id)  # others have made some meanwhile
            document = replace(draft, number=await self._number())
            line = audit_line(by.name, "create", app_id=app_id, webhook_id=document.uid, fields=body)
            await self._managed.write([Write(document.uid, 0, document.encoded())], line)
        return Edited(self._made(document.uid), secret, warnings, created=True)

    async def update(self, by: Admin, uid: str, body: Mapping[str, Any], *, merge: bool) -> Edited:
        """Replace an endpoint's fields, or merge them into those that it has."""
        body = dict(body)
        for _ in range(_TRIES):
            document = self._document(uid)
            app = self._app(document.app_id)
            _same_app(document, body)
            spec, given = _merged(document, body) if merge else _replaced(document, body)
            new = replace(document, spec=spec, updated_ms=self._now_ms())
            new, secret = self._with_secret(new, app, given)
            warnings = await self._check(new, app, before=document)
            line = audit_line(by.name, "update", app_id=document.app_id, webhook_id=uid, fields=body)
            try:
                writes = [Write(uid, self._seen(uid, document), new.encoded())]
                if "enabled" in body or _target(spec) != _target(document.spec):
                    writes += self._without(OVERRIDE + uid)
                if not spec.get("enabled", True):
                    writes += self._note(uid, spec.get("auto_resync", False))
                await self._managed.write(writes, line)
            except Conflict:
                continue
            return Edited(self._made(uid), secret, warnings)
        raise _overtaken()

    async def rotate(self, by: Admin, uid: str, grace: float, given: str | None) -> tuple[Edited, float | None]:
        """Give an endpoint another secret; the old one signs besides for ``grace`` seconds. Return until when."""
        for _ in range(_TRIES):
            document = self._document(uid)
            app = self._app(document.app_id)
            if not signs_itself(self._define(document, app)):
                text = "the app's secret signs with this profile; change the app's keys, or take another profile"
                raise Refused(409, "signed_with_app", text)
            secret = given or new_secret()
            now = self._clock()
            until = now + grace if grace > 0 and document.secrets else None
            old = [replace(one, expires_at=until) for one in document.secrets if one.expires_at is None and until]
            older = [one for one in document.secrets if one.expires_at is not None and one.expires_at > now]
            kept = (Secret(secret), *[*old, *older][:_PREVIOUS]) if until else (Secret(secret),)
            new = replace(document.with_secrets(*kept), updated_ms=self._now_ms())
            refuse(problems_of(self._define(new, app), self._rules))
            line = audit_line(by.name, "rotate_secret", app_id=document.app_id, webhook_id=uid, fields=["secret"])
            try:
                await self._managed.write([Write(uid, self._seen(uid, document), new.encoded())], line)
            except Conflict:
                continue
            return Edited(self._made(uid), secret), until
        raise _overtaken()

    async def switch(self, by: Admin, uid: str, enabled: bool) -> Endpoint:
        """Switch an endpoint on or off, one of the configuration too."""
        for _ in range(_TRIES):
            endpoint = self._registry.by_uid(uid)
            if endpoint is None:
                raise _gone(uid)
            document = self._managed.document(uid)
            writes = self._without(OVERRIDE + uid)
            if document is not None:
                spec = {**document.spec, "enabled": enabled}
                new = replace(document, spec=spec, updated_ms=self._now_ms())
                writes.append(Write(uid, self._seen(uid, document), new.encoded()))
            else:
                override = self._registry.override_of(uid)
                said = endpoint.enabled if override is None else override.said
                key = OVERRIDE + uid
                text = None if said == enabled else encode_override(Override(enabled, said))
                seen = self._managed.revision(key)
                writes = [Write(key, seen, text)] if seen or text is not None else []
            if not enabled:
                writes += self._note(uid, endpoint.auto_resync)
            action = "enable" if enabled else "disable"
            line = audit_line(by.name, action, app_id=endpoint.app_id, webhook_id=uid, fields=["enabled"])
            try:
                await self._managed.switch(uid, writes, line)
            except Conflict:
                continue
            return self._registry.by_uid(uid) or endpoint
        raise _overtaken()

    async def delete(self, by: Admin, uid: str) -> None:
        """Delete an endpoint. What waits for it becomes dead letters."""
        for _ in range(_TRIES):
            document = self._document(uid)
            writes = [
                Write(uid, self._seen(uid, document), None),
                *self._without(OVERRIDE + uid),
                *self._without(RESYNC_DUE + uid),
                *self._without(ORDER + uid),
            ]
            line = audit_line(by.name, "delete", app_id=document.app_id, webhook_id=uid)
            try:
                await self._managed.write(writes, line)
            except Conflict:
                continue
            return
        raise _overtaken()

    # -- parts

    def _app(self, app_id: str) -> App:
        app = self._apps.by_id(app_id)
        if app is None:
            raise Refused(404, "not_found", "there is no such app")
        return app

    def _room(self, app_id: str) -> None:
        if len(self._managed.documents(app_id)) >= MOST_OF_AN_APP:
            raise Refused(422, "too_many_webhooks", f"the app has {MOST_OF_AN_APP} webhooks already; delete some")

    def _document(self, uid: str) -> Document:
        document = self._managed.document(uid)
        if document is not None:
            return document
        if self._registry.by_uid(uid) is not None:
            text = "this webhook stands in the configuration; change it there. Only enable and disable work here"
            raise Refused(409, "defined_in_file", text)
        raise _gone(uid)

    def _seen(self, uid: str, document: Document) -> int:
        """Return the revision of a document that was read before an await; none when it is another one by now."""
        if self._managed.document(uid) is not document:
            raise Conflict(f"{uid} has changed meanwhile")
        return self._managed.revision(uid)

    def _without(self, key: str) -> list[Write]:
        seen = self._managed.revision(key)
        return [Write(key, seen, None)] if seen else []

    def _note(self, uid: str, wanted: bool) -> list[Write]:
        """Return what notes that an endpoint gets a resync once it is enabled again (``healing.py``)."""
        key = RESYNC_DUE + uid
        return [Write(key, self._managed.revision(key), encode_note())] if wanted else []

    def _with_secret(self, document: Document, app: App, given: str | None) -> tuple[Document, str | None]:
        """Return it with the secret that was given, or a new one where it needs one and has none."""
        if given is not None:
            return document.with_secrets(Secret(given)), given
        if document.secrets or not signs_itself(self._defined(document, app)):
            return document, None
        secret = new_secret()
        return document.with_secrets(Secret(secret)), secret

    def _defined(self, document: Document, app: App) -> Endpoint:
        try:
            return self._define(document, app)
        except ValueError as problem:  # the model has accepted it, so this is a rule about several fields
            raise Refused(422, "invalid_field", "the fields don't fit together") from problem

    async def _check(self, document: Document, app: App, before: Document | None = None) -> tuple[str, ...]:
        """Return warnings about an endpoint. Raises Refused when it may not be."""
        endpoint = self._defined(document, app)
        refuse(problems_of(endpoint, self._rules))
        warnings = []
        asked = (("url", endpoint.url), ("auth.token_url", endpoint.oauth2.token_url if endpoint.oauth2 else None))
        for field, url in asked:
            permitted = True if url is None else await self._permits(url)
            if permitted is False:
                raise blocked(field)
            if permitted is None:
                warnings.append(f"{field}: the name of its host has no address at present")
        if not endpoint.event_types:
            warnings.append("event_types: none is listed, so nothing is sent; * is all")
        if not self._sends:
            warnings.append("this server sends no webhooks: webhooks.enabled is false, or queue.driver is none")
        return tuple(warnings)

    async def _number(self) -> int:
        """Return the number of a new endpoint, one that no endpoint of the configuration has."""
        taken = {endpoint.id for endpoint in self._registry.all()}
        while (number := await self._managed.store.allot()) in taken:
            pass
        return number

    def _made(self, uid: str) -> Endpoint:
        endpoint = self._registry.by_uid(uid)
        if endpoint is None:  # another request has deleted it meanwhile, or its app is gone
            raise _gone(uid)
        return endpoint

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _spec(body: Mapping[str, Any], kept: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], str | None]:
    """Return the fields to keep of a body, and its secret. Raises Refused.

    ``kept``: those that there are; MASK in the body stands for the values of its headers, and of secrets of its auth.
    """
    kept = kept or {}
    model = read(EndpointBody, body)
    spec = named_once(body)
    for name in ("app_id", "secret"):
        spec.pop(name, None)
    if "headers" in spec:
        spec["headers"] = _unmasked("headers", spec["headers"], kept.get("headers") or {})
    if spec.get("auth") is not None:
        spec["auth"] = _unmasked("auth", spec["auth"], kept.get("auth") or {})
    given = [name for name in _TARGETS if spec.get(name) is not None]
    if len(given) != 1:
        text = "give one of url, lambda and feed" if given else "give url, lambda or feed"
        raise Refused(422, "invalid_field", text, [FieldProblem("url", text)])
    return spec, None if model.secret is None else model.secret.get_secret_value()


def _unmasked(field: str, given: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    lost = [name for name, value in given.items() if value == MASK and name not in kept]
    if lost:
        problem = FieldProblem(f"{field}.{lost[0]}", f"{MASK} stands for a value that is kept, and there is none")
        raise Refused(422, "invalid_field", f"{problem.field}: {problem.message}", [problem])
    return {name: kept[name] if value == MASK else value for name, value in given.items()}


def _replaced(document: Document, body: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    return _spec(body, document.spec)


def _merged(document: Document, body: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    patch = named_once(body)
    unknown = set(patch) - {info.alias or name for name, info in EndpointBody.model_fields.items()}
    if unknown:
        read(EndpointBody, {name: patch[name] for name in unknown})  # refuses them, null or not
    whole = merged(document.spec, patch)
    # Targets exclude each other: naming one takes the place of the others.
    if any(patch.get(name) is not None for name in _TARGETS):
        for name in _TARGETS:
            if name not in patch:
                whole.pop(name, None)
    return _spec(whole, document.spec)


def _same_app(document: Document, body: Mapping[str, Any]) -> None:
    app_id = body.get("app_id")
    if app_id is not None and app_id != document.app_id:
        problem = FieldProblem("app_id", "can't be changed; make another webhook in that app")
        raise Refused(422, "invalid_field", f"{problem.field}: {problem.message}", [problem])


def _target(spec: Mapping[str, Any]) -> tuple[object, ...]:
    return spec.get("url"), spec.get("lambda"), spec.get("feed") is not None


def _gone(uid: str) -> Refused:
    return Refused(404, "unknown_webhook", f"there is no webhook {uid[:200]}")


def _overtaken() -> Refused:
    return Refused(409, "conflict", "others keep changing this webhook; try again")
