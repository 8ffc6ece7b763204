"""Reading a configuration: file, ``${VAR}``, other spellings, environment, rules, types. All mistakes at once."""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError

from sockudo_py.config.advice import advice, endpoint_advice
from sockudo_py.config.model import Config
from sockudo_py.config.problems import Loc, Origins, Problem, show, translate
from sockudo_py.config.reading.equivalents import unify
from sockudo_py.config.reading.interpolate import interpolate, names_in
from sockudo_py.config.reading.normalise import normalise
from sockudo_py.config.reading.override import Environment, set_at
from sockudo_py.config.rules import broken_rules, switch_on_tls
from sockudo_py.config.sections.app import AppConfig
from sockudo_py.config.sections.endpoint import EndpointConfig
from sockudo_py.config.tables.unused import NOT_YET, without_effect
from sockudo_py.errors import ConfigError

DEMO_APP = {"id": "app-id", "key": "app-key", "secret": "app-secret", "enable_client_messages": True}
DEMO_WARNING = (
    "no configuration file: this is the demo app app-id / app-key, whose secret is published, on {host}; "
    "start with --config FILE for anything else"
)
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
OPTION_NAMES = {
    "host": "--host",
    "port": "--port",
    "debug": "--debug",
    "logging.level": "--debug",
    "logging.format": "--log-format",
    "webhooks.admin.key_file": "--admin-key-file",
}
_FIRST_APP: Loc = ("app_manager", "array", "apps", 0)


def load(
    path: Path | None,
    env: Mapping[str, str],
    options: Mapping[str, Any] = NO_OPTIONS,
    read: Callable[[Path], bytes] | None = None,
) -> Config:
    """Return the configuration in a file, or the demo's when there is none, with the environment's overrides.

    ``options`` have the last word: values of the command line by dotted key, such as ``logging.format``. ``read``
    returns the content of the file, for a process that gets it from another one.

    Raises ConfigError with a line per mistake, such as ``config.json: port: must be a number``. None shows a value.
    """
    if path is None:
        return _load_without_file(env, options)
    origins = Origins(str(path))
    raw = _parse((read or read_file)(path), origins.file)
    _refuse_one_app(raw, origins.file)
    environment = Environment(env, fetched(raw) | _fetched_by_apps(raw, env))
    config, warnings = _build(raw, env, origins, environment=environment, options=options)
    found = (*warnings, *_not_yet_warnings(config, origins), *advice(config, origins))
    return config.noted(path, origins, found, partial(load, path, env, options, read))


def read_app(content: bytes, file: str, env: Mapping[str, str]) -> tuple[AppConfig, tuple[str, ...]]:
    """Return the app in the content of a file that holds one, and warnings. Raises ConfigError as ``load`` does."""
    origins = Origins(file, {_FIRST_APP: (None, ())})
    app_raw = _parse(content, file)
    if "app_manager" in app_raw:
        _refuse(f"{file}: looks like a whole configuration; give it to --config, and put only files of one app here")
    raw = {"app_manager": {"array": {"apps": [app_raw]}}}
    config, warnings = _build(raw, env, origins)
    app = config.app_manager.array.apps[0]
    more = [origins.line(problem) for problem in endpoint_advice(app, (*_FIRST_APP, "webhooks"))]
    return app, (*warnings, *more)


def read_endpoint(raw: Mapping[str, Any]) -> EndpointConfig:
    """Return the endpoint in a JSON object, such as the management API gets. Raises ConfigError as ``load`` does.

    References to environment variables stay as they are: a request must not read the environment.
    """
    place: Loc = (*_FIRST_APP, "webhooks", 0)
    if "secret_env" in raw:
        raise ConfigError(["webhook: secret_env: is not allowed here; send secret"])
    origins = Origins("webhook", {place: (None, ())})
    app = {"id": "-", "key": "-", "secret": "-", "webhooks": [dict(raw)]}
    config, _ = _build({"app_manager": {"array": {"apps": [app]}}}, {}, origins, references=False)
    return config.app_manager.array.apps[0].webhooks[0]


def read_row(raw: Mapping[str, Any], place: str) -> tuple[AppConfig, tuple[str, ...]]:
    """Return the app of a JSON object that a database holds, and warnings. Raises ConfigError as ``load`` does.

    ``place`` stands in front of each message. Nothing of the environment is read, as in ``read_endpoint``.
    """
    if name := next(_env_keys(raw), None):
        raise ConfigError([f"{place}: {name}: is not allowed here; write the value, as {name.removesuffix('_env')}"])
    origins = Origins(place, {_FIRST_APP: (None, ())})
    config, _ = _build({"app_manager": {"array": {"apps": [dict(raw)]}}}, {}, origins, references=False)
    app = config.app_manager.array.apps[0]
    advised = endpoint_advice(app, (*_FIRST_APP, "webhooks"))
    return app, tuple(origins.line(problem) for problem in advised)


def _env_keys(value: Any) -> Iterator[str]:
    """Yield the keys that name a variable which holds the value."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str) and key.endswith("secret_env"):
                yield key
            yield from _env_keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from _env_keys(item)


class Reader:
    """Reads the file of a configuration, and keeps the text that it read last."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self, path: Path) -> bytes:
        """Return the content of the file. Raises ConfigError."""
        content = read_file(path)
        self.text = content.decode("utf-8", "replace")
        return content


def _load_without_file(env: Mapping[str, str], options: Mapping[str, Any]) -> Config:
    environment = Environment(env)
    own = environment.has_app or environment.names_database
    demo = not own and environment.skips_inline_apps is None
    raw: dict[str, Any] = {}
    if demo:
        raw = {"host": "127.0.0.1", "mode": "development", "app_manager": {"array": {"apps": [dict(DEMO_APP)]}}}
    origins = Origins("the demo" if demo else "environment")
    config, warnings = _build(raw, env, origins, environment=environment, options=options)
    found = (*warnings, *_not_yet_warnings(config, origins), *advice(config, origins))
    warned = (*((DEMO_WARNING.format(host=config.host),) if demo else ()), *found)
    return config.noted(None, origins, warned, partial(load, None, env, options))


def fetched(value: Any) -> frozenset[str]:
    """Return the names of all variables that a document fetches with ``${...}`` or ``secret_env``."""
    if isinstance(value, str):
        return names_in(value)
    if isinstance(value, list):
        return frozenset().union(*(fetched(item) for item in value))
    if not isinstance(value, dict):
        return frozenset()
    named = {item for key, item in value.items() if key.endswith("secret_env") and isinstance(item, str)}
    return frozenset(named).union(*(fetched(item) for item in value.values()))


def _fetched_by_apps(raw: dict[str, Any], env: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the variables that the files in the folder of apps fetch, as far as they can be read."""
    folder: Any = env.get("APP_MANAGER_FILE_PATH")
    for part in ("app_manager", "file", "path") if not folder else ():
        raw = raw.get(part) if isinstance(raw, dict) else None  # type: ignore[assignment]
        folder = raw
    names: set[str] = set()
    with suppress(OSError):
        for path in Path(folder).glob("*.json") if isinstance(folder, str) else ():
            text = path.read_text(errors="replace")
            names |= names_in(text) | set(re.findall(r'secret_env"\s*:\s*"(\w+)"', text))
    return frozenset(names)


def _build(
    raw: dict[str, Any],
    env: Mapping[str, str],
    origins: Origins,
    *,
    environment: Environment | None = None,
    references: bool = True,
    options: Mapping[str, Any] = NO_OPTIONS,
) -> tuple[Config, list[str]]:
    """Return the configuration of a document, and warnings."""
    problems: list[Problem] = []
    document = interpolate(raw, env, problems, origins) if references else raw
    unresolved = {problem.loc for problem in problems}
    unused = normalise(document, env, origins, problems)
    if environment is not None:
        environment.apply(document, origins, problems)
    for key, value in options.items():
        set_at(document, key, value)
        origins.moved[tuple(key.split("."))] = (OPTION_NAMES[key], ())
    idle = without_effect("keys of Sockudo", ((show(loc), instead) for loc, instead in unused))
    warnings = [f"{origins.file}: {text}" for text in idle]
    unify(document, Config, origins, warnings)
    switch_on_tls(document)
    problems += broken_rules(document, origins)
    config = None
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        # A ${VAR} that could not be resolved is reported already.
        problems += [p for p in translate(error, Config) if origins.find(p.loc)[1] not in unresolved]
    if problems or config is None:
        raise ConfigError(list(dict.fromkeys(origins.line(problem) for problem in problems)))
    if environment is not None:
        environment.passed_over(origins.passed_over)
        warnings += environment.warnings()
    return config, warnings


def _refuse_one_app(raw: dict[str, Any], file: str) -> None:
    if {"key", "secret"} <= raw.keys() or {"id", "key"} <= raw.keys():
        _refuse(
            f"{file}: looks like the file of one app; put the app into app_manager.array.apps, "
            "or name the folder of such files in app_manager.file.path"
        )


def read_file(path: Path) -> bytes:
    """Return the content of a configuration's file. Raises ConfigError when it can't be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        _refuse(f"{path}: there is no such file; name one with --config")
    except IsADirectoryError:
        _refuse(f"{path}: is a folder; name a file with --config (a folder of apps belongs into app_manager.file.path)")
    except OSError as error:
        _refuse(f"{path}: can't be read: {error.strerror}")


def _parse(content: bytes, file: str) -> dict[str, Any]:
    twice: list[str] = []

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                twice.append(f"{file}: the key {show((key,))} stands twice in one object; keep one")
            result[key] = value
        return result

    def no_constant(_: str) -> NoReturn:
        raise ValueError("NaN and Infinity are no JSON")

    try:
        text = content.decode("utf-8-sig")
        raw = json.loads(text, object_pairs_hook=object_of, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        if not text.strip():
            _refuse(f"{file}: is empty; put a JSON object into it: {{ }}")
        where = f"line {error.lineno}, column {error.colno}"
        _refuse(f"{file}: {where}: is not valid JSON: {error.msg}{_other_form(file, text)}")
    except UnicodeDecodeError as error:
        _refuse(f"{file}: byte {error.start + 1}: is not UTF-8; save the file as UTF-8")
    except RecursionError:
        _refuse(f"{file}: is nested too deeply")
    except ValueError:
        _refuse(f"{file}: holds a number that can't be read; write it with fewer digits")
    if twice:
        raise ConfigError(twice)
    if isinstance(raw, list) and raw and all(isinstance(item, dict) and "key" in item for item in raw):
        _refuse(f'{file}: is a list of apps; write {{"app_manager": {{"array": {{"apps": [...]}}}}}}')
    if not isinstance(raw, dict):
        _refuse(f"{file}: must be an object; put it in {{ }}")
    return raw


def _other_form(file: str, text: str) -> str:
    """Return how to make JSON of a file that looks like another format, or nothing."""
    kind = Path(file).suffix.lower()
    variables = re.match(r"\s*(#.*\s+)*(export\s+)?[A-Z][A-Z0-9_]*=", text) and kind != ".toml"
    if variables or Path(file).name.startswith(".env"):
        path = shlex.quote(str(Path(file).absolute()))
        return f"; it looks like variables: set -a; . {path}; set +a, then start without --config"
    if kind == ".toml" or re.match(r"\s*(#.*\s+)*(\[+[\w.]+\]+|\w+\s*=)", text):
        program = "import json, sys, tomllib; print(json.dumps(tomllib.load(sys.stdin.buffer), indent=2))"
        return f"; it looks like TOML, and this server reads JSON: python3 -c '{program}' < {file} > config.json"
    if kind in (".yaml", ".yml") or re.match(r"(---|\s*(#.*\s+)*\w+:(\s|$))", text):
        return f"; it looks like YAML, and this server reads JSON: yq -o=json {file} > config.json"
    return ""


def _refuse(line: str) -> NoReturn:
    raise ConfigError([line]) from None


def _not_yet_warnings(config: Config, origins: Origins) -> Iterator[str]:
    """Yield a warning per row of ``NOT_YET`` that was set to something."""
    given = tuple(_given(config, ()))
    for key, instead in NOT_YET.items():
        names = []
        for loc in given:
            if loc[: key.count(".") + 1] == tuple(key.split(".")):
                variable, written = origins.find(loc)
                names.append(f"environment variable {variable}" if variable else show(written))
        if names:
            yield f"{origins.file}: no effect yet: {', '.join(names)}; {instead}"


def _given(section: BaseModel, base: Loc) -> Iterator[Loc]:
    """Yield the places of all keys below ``section`` that have another value than null and were not left out."""
    for name in sorted(section.model_fields_set):
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _given(value, (*base, name))
        elif value is not None:
            yield (*base, name)
