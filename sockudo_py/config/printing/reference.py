"""The reference of all keys, made from the models: `docs/configuration.md` and `config.example.json`."""

import json
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from sockudo_py.config.model import Config
from sockudo_py.config.printing.describe import redacted
from sockudo_py.config.problems import item_type, walk
from sockudo_py.config.reading.normalise import MOVES, find
from sockudo_py.config.sections.app import PLACEHOLDER_SECRET, AppConfig
from sockudo_py.config.sections.endpoint import EndpointConfig
from sockudo_py.config.tables.environment import DEFAULT_APP, OVERRIDES
from sockudo_py.config.tables.unused import INSTEAD, NOT_YET, UNUSED, has_no_effect_yet

EXAMPLE_APP = {
    "id": "my-app",
    "key": "my-key",
    "secret": PLACEHOLDER_SECRET,
}
EXAMPLE_ENDPOINT = {
    "name": "occupancy",
    "enabled": False,
    "url": "https://example.com/webhooks",
    "event_types": ["channel_occupied", "channel_vacated", "member_added", "member_removed"],
    "filter": {"channel_prefix": "presence-"},
}
INTRODUCTION = """\
# Configuration

Made from the models by `sockudo-py print-config --reference`; a test keeps it fresh. `config.example.json` holds every
key that has an effect, with its default. `sockudo-py check-config --config FILE` lists the mistakes of a file.

- A file is one JSON object. Without a file the server is a demo on 127.0.0.1: app `app-id` / `app-key` / `app-secret`.
  With an app of [variables](#environment) it is no demo, and listens on all addresses.
- `null` means "not given": the default holds. Numbers and flags may be text, words may have any case, ids, keys and
  secrets may be numbers.
- `${NAME}` and `${NAME:-default}` stand for environment variables inside any text; `$${` is a literal `${`. A value
  that is only a reference may be a number or a flag. A variable that is unset or empty, without a default, is an error.
- `secret_env: "NAME"` may stand for `secret`. Environment variables [below](#environment) override the file.
- Relative paths are relative to the folder that the server is started in.
- Unknown keys are errors. Keys that have no effect here ([list](#keys-without-effect)) cause a warning.
"""


def example() -> str:
    """Return ``config.example.json``: every key that has an effect with its default, an app and an endpoint."""
    config = redacted(Config())
    for place in NOT_YET:
        for parent, key, _ in list(find(config, place)):
            del parent[key]
    app = redacted(AppConfig.model_validate(EXAMPLE_APP)) | {"secret": f"${{SOCKUDO_APP_SECRET:-{PLACEHOLDER_SECRET}}}"}
    endpoint = redacted(EndpointConfig.model_validate(EXAMPLE_ENDPOINT)) | {"url": EXAMPLE_ENDPOINT["url"]}
    config["app_manager"]["array"]["apps"] = [app | {"webhooks": [endpoint]}]
    return json.dumps(config, indent=2) + "\n"


Presets = Mapping[str, tuple[tuple[float, ...], str, float]]
Profiles = Mapping[str, tuple[str, str]]


def reference(presets: Presets, profiles: Profiles) -> str:
    """Return ``docs/configuration.md``.

    Args:
        presets: Waits in seconds, ``retry_on`` and timeout in seconds, by the preset's name.
        profiles: Header of the signature and its shape, by the profile's name.
    """
    lines = [INTRODUCTION]
    for place, section in walk(Config):
        if place.startswith("webhooks.operators[]"):  # as an endpoint of an app
            continue
        if place == "app_manager.array.apps[]":
            lines += [
                "",
                "## An app",
                "",
                "An entry of `app_manager.array.apps`, or a file in `app_manager.file.path`.",
                "",
            ]
        elif place == "app_manager.array.apps[].webhooks[]":
            lines += ["", "## A webhook endpoint", "", "An entry of `webhooks` of an app.", ""]
        else:
            short = place.replace("app_manager.array.apps[].webhooks[].", "endpoint ")
            title = short.replace("app_manager.array.apps[].", "app ") or "Top level"
            lines += ["", f"## {title}", "", str(section.__doc__).split("\n")[0], ""]
        lines += _table(section, place)
    lines += [
        "",
        *_profiles(profiles),
        "",
        *_presets(presets),
        "",
        *_environment(),
        "",
        *_spellings(),
        "",
        *_without_effect(),
        "",
    ]
    return "\n".join(lines)


def _table(section: type[BaseModel], place: str) -> Iterable[str]:
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for name, info in section.model_fields.items():
        inner = item_type(info.annotation)
        kind = ("list" if "tuple" in str(info.annotation) else "object") if inner else _kind(info.annotation)
        if info.is_required():
            default = "required"
        elif inner:
            default = ""
        else:
            default = f"`{_written(info.get_default(call_default_factory=True))}`"
        meaning = str(info.description).replace("|", "\\|")
        if has_no_effect_yet(f"{place}.{info.alias or name}"):
            meaning += " [No effect yet](#keys-without-effect)."
        yield f"| `{info.alias or name}` | {kind} | {default} | {meaning} |"


def _written(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(list(value) if isinstance(value, tuple) else value)


_KINDS: Mapping[Any, str] = {
    bool: "flag",
    int: "number",
    float: "number",
    str: "text",
    SecretStr: "secret",
    type(None): "null",
    Any: "any JSON",
}


def _kind(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if origin in (Union, types.UnionType):
        return ", ".join(dict.fromkeys(_kind(argument) for argument in get_args(annotation)))
    if origin is tuple:
        return f"list of {_kind(get_args(annotation)[0])}"
    if origin is dict:
        return "object"
    return _KINDS[annotation]


def _profiles(profiles: Profiles) -> Iterable[str]:
    yield from ("## Signature profiles", "", "| profile | header | value |", "|---|---|---|")
    for name, (header, value) in profiles.items():
        yield f"| `{name}` | `{header}` | `{value}` |"
    yield "| `custom` | `signature_header` | `signature_prefix` and the HMAC of `signature_template` |"


def _presets(presets: Presets) -> Iterable[str]:
    yield from (
        "## Retry presets",
        "",
        "| preset | waits in seconds | retried | timeout in seconds |",
        "|---|---|---|---|",
    )
    for name, (schedule, retry_on, timeout) in presets.items():
        yield f"| `{name}` | {', '.join(f'{wait:g}' for wait in schedule)} | `{retry_on}` | {timeout:g} |"
    yield ""
    yield "An endpoint's own preset counts; else that of a `profile` it names, where there is one of that name; else "
    yield "`webhooks.retry.preset`. Numbers beside a preset change it; those of `webhooks.retry` only there."


_KIND_NOTES: Mapping[str, str] = {
    "value": "",
    "list": " (separated by commas)",
    "nodes": " (separated by commas, or JSON, as in a file)",
    "switch_on": " (only `1`, `true`, `yes`, `on` count)",
    "milliseconds": " (in milliseconds)",
    "json": " (JSON, as in a file)",
}


def _environment() -> Iterable[str]:
    yield from (
        "## Environment",
        "",
        "Empty variables don't count. Of several names the first that is set counts.",
        "",
        "| variable | key |",
        "|---|---|",
    )
    for row in OVERRIDES:
        names, keys = ", ".join(f"`{name}`" for name in row.names), ", ".join(f"`{key}`" for key in row.keys)
        dropped = f"; replaces {', '.join(f'`{key}`' for key in row.drops)}" if row.drops else ""
        yield f"| {names} | {keys}{_KIND_NOTES[row.kind]}{dropped} |"
    yield ""
    yield "An app can be given by variables. The first three belong together; the app joins those of the file, and "
    yield "replaces settings of the one with the same id. `SOCKUDO_SKIP_INLINE_APPS=true` or "
    yield "`APP_MANAGER_REGISTER_INLINE_APPS=false` leave out those of the file."
    yield ""
    yield from ("| variable | key of the app |", "|---|---|")
    for row in DEFAULT_APP:
        yield f"| {', '.join(f'`{name}`' for name in row.names)} | `{row.keys[0]}`{_KIND_NOTES[row.kind]} |"
    yield ""
    yield "Variables of soketi and Sockudo that have no effect here are named in one warning when they are set, and so "
    yield "are unknown ones that begin with `SOKETI_` or `SOCKUDO_`. [Settings of others](moving/settings.md) "
    yield "lists them all. The word `null` counts as not set; so does a link to a service of Kubernetes "
    yield "(`SOKETI_PORT=tcp://10.0.0.1:6001`)."


def _spellings() -> Iterable[str]:
    yield from ("## Other spellings", "", "Accepted for the key on the right. `.*` is everything in that object.", "")
    yield from ("| also | key |", "|---|---|")
    for old, new in MOVES:
        yield f"| `{_short(old)}` | `{_short(new)}` |"


def _short(key: str) -> str:
    return key.replace("app_manager.array.apps[].", "app: ")


def _without_effect() -> Iterable[str]:
    yield from ("## Keys without effect", "", "Accepted with a warning when they are set. Keys of Sockudo:", "")
    yield ", ".join(f"`{_short(key)}`" for key in UNUSED)
    yield from ("", "What holds in place of some of them:", "", "| key | instead |", "|---|---|")
    for key, instead in INSTEAD.items():
        yield f"| `{_short(key)}` | {instead} |"
    yield from ("", "Keys of features that are not here yet, and everything below them:", "")
    yield from ("| key | meanwhile |", "|---|---|")
    for key, instead in NOT_YET.items():
        yield f"| `{key}` | {instead} |"
