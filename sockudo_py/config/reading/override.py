"""Environment variables: they override the file, and a warning names each that has no effect."""

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sockudo_py.config.problems import Origins, Problem
from sockudo_py.config.reading.normalise import normalise
from sockudo_py.config.sections.app import PUBLISHED_SECRETS
from sockudo_py.config.tables.environment import (
    APP_PAIR,
    DEFAULT_APP,
    FALSE,
    OVERRIDES,
    REGISTER_INLINE_APPS,
    SKIP_INLINE_APPS,
    TRUE,
    Override,
    is_link,
    is_nothing,
)
from sockudo_py.config.tables.foreign import INSTEAD, OWN_PREFIXES, WITHOUT_EFFECT
from sockudo_py.config.tables.unused import HARMLESS_WHEN_BLANK, is_blank, without_effect

APPS = "app_manager.array.apps"
_LINK_NAME = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$")
_INLINE = (SKIP_INLINE_APPS, REGISTER_INLINE_APPS)
KNOWN = frozenset((*_INLINE, *WITHOUT_EFFECT, *(name for row in (*OVERRIDES, *DEFAULT_APP) for name in row.names)))


class Environment:
    """The variables of a process that concern the configuration, and the use that was made of each.

    Args:
        env: All variables.
        used_in_file: Names that the file fetches itself, so that they need no meaning of their own.
    """

    def __init__(self, env: Mapping[str, str], used_in_file: Collection[str] = ()) -> None:
        self._env = env
        self._used_in_file = used_in_file
        self._links: dict[str, None] = {}
        self._nothing: dict[str, None] = {}
        self._by_key: dict[str, str] = {}  # key -> the variable that gave its value
        self._idle: dict[str, str] = {}  # variable -> why it has no effect
        self._notes: list[str] = []

    def get(self, name: str) -> str | None:
        """Return the value of a variable; None when it is unset, empty, the word null, or a link to a service."""
        value = self._env.get(name)
        if value is None or not value.strip():
            return None
        if is_link(name, value):
            self._links[name] = None
            return None
        if is_nothing(value):
            self._nothing[name] = None
            return None
        return value

    @property
    def has_app(self) -> bool:
        """Whether the variables define an app."""
        return any(self._given(row) is not None for row in DEFAULT_APP if row.keys[0] in APP_PAIR)

    @property
    def names_database(self) -> bool:
        """Whether the variables say that the apps are in a database."""
        row = next(row for row in OVERRIDES if row.keys == ("app_manager.driver",))
        given = self._given(row)
        return given is not None and given[1].strip().lower() not in ("memory", "array", "file")

    @property
    def skips_inline_apps(self) -> str | None:
        """The variable that leaves out the apps of the file, or None."""
        if (self.get(SKIP_INLINE_APPS) or "").strip().lower() in TRUE:
            return SKIP_INLINE_APPS
        if (self.get(REGISTER_INLINE_APPS) or "").strip().lower() in FALSE:
            return REGISTER_INLINE_APPS
        if not self.has_app:
            enabled = next(row for row in DEFAULT_APP if row.keys == ("enabled",))
            given = self._given(enabled)
            if given is not None and given[1].strip().lower() in FALSE:
                return given[0]
        return None

    def apply(self, raw: dict[str, Any], origins: Origins, problems: list[Problem]) -> None:
        """Put the values of the variables into a document, in place."""
        for name in _INLINE:
            value = self.get(name)
            if value is not None and value.strip().lower() not in (*TRUE, *FALSE):
                origins.moved[(name,)] = (name, ())
                problems.append(Problem((name,), "must be true or false"))
        self._leave_out_apps(raw, origins)
        for row in OVERRIDES:
            given = self._given(row)
            if given is None or (row.kind == "switch_on" and given[1].strip().lower() not in TRUE):
                continue
            self._override(row, *given, raw, origins, problems)
        self._switch_tls(raw, origins)
        self._add_app(raw, origins, problems)

    def passed_over(self, names: Collection[str]) -> None:
        """Note variables that the file fetches, but that are links or the word null."""
        for name in names:
            self.get(name)

    def warnings(self) -> Iterator[str]:
        """Yield a line for each kind of variable that has no effect. Call it after ``apply``."""
        unknown = []
        foreign = [name for name in sorted(self._env) if name in WITHOUT_EFFECT and self.get(name) is not None]
        for name in sorted(self._env):
            if name in KNOWN or name in self._used_in_file or not name.startswith(OWN_PREFIXES):
                continue
            if _LINK_NAME.search(name) or is_link(name, self._env[name]):
                self._links[name] = None
            elif self._env[name].strip():
                close = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.8)
                unknown.append(f"{name} (did you mean {close[0]}?)" if close else name)
        foreign = [name for name in foreign if name not in self._used_in_file]
        for text in without_effect(
            "variables of soketi or Sockudo", ((name, INSTEAD.get(name, "")) for name in foreign)
        ):
            yield f"environment: {text}"
        if unknown:
            yield f"environment: these variables are unknown and have no effect: {', '.join(unknown)}"
        for name, why in self._idle.items():
            yield f"environment variable {name}: has no effect {why}"
        if self._links:
            yield (
                "environment: these variables are links to services, as Kubernetes and Docker set them, and no "
                f"settings: {', '.join(self._links)}; enableServiceLinks: false in the pod leaves them out"
            )
        if self._nothing:
            names = ", ".join(self._nothing)
            yield f"environment: the word null counts as not set: {names}; another program's may be meant"
        yield from self._notes

    def _given(self, row: Override) -> tuple[str, str] | None:
        """Return the first name of a row that is set, and its value. Further ones are noted as without effect."""
        given = [(name, value) for name in row.names if (value := self.get(name)) is not None]
        for name, value in given[1:]:
            if value != given[0][1]:
                self._idle[name] = f"beside {given[0][0]}"
        return given[0] if given else None

    def _override(
        self, row: Override, name: str, text: str, raw: dict[str, Any], origins: Origins, problems: list[Problem]
    ) -> None:
        for key in row.drops:
            set_at(raw, key, None)
            if key in self._by_key:
                self._idle[self._by_key.pop(key)] = f"beside {name}"
        value = self._value(row, name, text, origins, problems)
        for key in row.keys:
            loc = tuple(key.split("."))
            harmless = next((known for known in HARMLESS_WHEN_BLANK if f"{key}.".startswith(f"{known}.")), None)
            if harmless is not None:
                if not is_blank(text.strip()):
                    origins.moved[loc] = (name, ())
                    problems.append(Problem(loc, "is not supported here", HARMLESS_WHEN_BLANK[harmless]))
                continue
            if key in self._by_key and _get(raw, key) != value:
                self._idle[self._by_key[key]] = f"beside {name}"
            self._by_key[key] = name
            set_at(raw, key, value)
            origins.moved[loc] = (name, ())

    def _value(self, row: Override, name: str, text: str, origins: Origins, problems: list[Problem]) -> Any:
        secret = row.keys[0].rpartition(".")[2] in ("secret", "password", "passphrase")
        text = text if secret else text.strip()
        if re.fullmatch(r"""(?s)"[^"]*"|'[^']*'""", text):  # as Docker passes on a line of an env file
            if not secret or name.startswith("SOKETI_"):  # soketi reads values as JSON
                text = text[1:-1]
            else:
                self._notes.append(f"environment variable {name}: is in quotes, which are taken as a part of it")
        match row.kind:
            case "list":
                return _listed(text)
            case "nodes" if not text.startswith("["):
                return _listed(text)
            case "milliseconds" if re.fullmatch(r"\d{1,12}(\.\d+)?", text):
                seconds = float(text) / 1000
                return int(seconds) if seconds.is_integer() else seconds
            case "json" | "nodes":
                try:
                    return json.loads(text)
                except ValueError:
                    origins.moved[(name,)] = (name, ())
                    problems.append(Problem((name,), "is not valid JSON", "write it as in a file: [{...}]"))
                    return None
        return text

    def _switch_tls(self, raw: dict[str, Any], origins: Origins) -> None:
        """soketi has no switch for TLS: a certificate is the wish."""
        names = [self._by_key.get(f"ssl.{key}", "") for key in ("cert_path", "key_path")]
        soketi = next((name for name in names if name.startswith("SOKETI_")), None)
        if soketi is not None and all(names) and "ssl.enabled" not in self._by_key:
            set_at(raw, "ssl.enabled", True)
            origins.moved[("ssl", "enabled")] = (soketi, ())

    def _leave_out_apps(self, raw: dict[str, Any], origins: Origins) -> None:
        apps, name = _get(raw, APPS), self.skips_inline_apps
        if name is not None and not self.has_app:
            origins.moved[tuple(APPS.split("."))] = (name, ())  # an error about missing apps names it
        if name is not None and isinstance(apps, list) and apps:
            self._notes.append(f"environment variable {name}: leaves out the apps of the file ({len(apps)})")
            set_at(raw, APPS, [])

    def _without_published(self, apps: list[Any], own: str, name: str) -> list[Any]:
        """Leave out demos: in Sockudo the app of variables takes the place of all that its file ships with."""
        kept: list[Any] = []
        left_out: list[Any] = []
        for app in apps:
            secret = app.get("secret") if isinstance(app, dict) else None
            demo = isinstance(secret, str) and secret in PUBLISHED_SECRETS and str(app.get("id")) != own
            (left_out if demo else kept).append(app)
        if left_out:
            names = ", ".join(str(app.get("id")) for app in left_out)
            why = "the app of variables is there, and their secret is published"
            self._notes.append(f"environment variable {name}: leaves out {names} of the file: {why}")
        return kept

    def _add_app(self, raw: dict[str, Any], origins: Origins, problems: list[Problem]) -> None:
        """Add the app that the variables define, in place of the one with the same id if there is one."""
        given = [(row, *found) for row in DEFAULT_APP if (found := self._given(row)) is not None]
        if not self.has_app:
            for row, name, _ in given:
                if name != self.skips_inline_apps:
                    self._idle[name] = f"without an app of variables: set {', '.join(_pair_names(row, name))}"
            return
        if _get(raw, APPS) is None:
            set_at(raw, APPS, [])
        apps = _get(raw, APPS)
        if not isinstance(apps, list):
            return  # validation says that it should be a list
        keys = {row.keys[0] for row, _, _ in given}
        soketi = all(name.startswith("SOKETI_") for row, name, _ in given if row.keys[0] in APP_PAIR)
        missing = [row.names[-1 if soketi else 0] for row in DEFAULT_APP if row.keys[0] in set(APP_PAIR) - keys]
        for name in missing:
            problems.append(Problem((name,), "is not set", "an app needs id, key and secret"))
            origins.moved[(name,)] = (name, ())
        if missing:
            return
        app = {row.keys[0]: self._value(row, name, text, origins, problems) for row, name, text in given}
        normalise({"app_manager": {"array": {"apps": [app]}}}, {}, Origins(""), problems)  # webhooks in other spellings
        apps = self._without_published(apps, app["id"], given[0][1])
        set_at(raw, APPS, apps)
        ids = [str(old.get("id")) if isinstance(old, dict) else None for old in apps]
        index = ids.index(app["id"]) if app["id"] in ids else len(apps)
        if index == len(apps):
            apps.append(app)
        else:
            apps[index] = {**apps[index], **app}
        for row, name, _ in given:
            origins.moved[("app_manager", "array", "apps", index, row.keys[0])] = (name, ())


def _pair_names(row: Override, name: str) -> Iterator[str]:
    """Yield the names of id, key and secret in the spelling of another variable of the app."""
    for pair in DEFAULT_APP:
        if pair.keys[0] in APP_PAIR:
            yield pair.names[-1 if name.startswith("SOKETI_") else 0]


def _listed(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()] or [text]


def _get(raw: Any, key: str) -> Any:
    for part in key.split("."):
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def set_at(raw: dict[str, Any], key: str, value: Any) -> None:
    """Set the value of a dotted key in a document, unless something else than an object is in the way."""
    *parents, last = key.split(".")
    place: Any = raw
    for part in parents:
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            return  # validation says that it should be an object
    place[last] = value
