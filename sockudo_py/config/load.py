"""Reading a configuration: file, ``${VAR}``, other spellings, environment, rules, types. All mistakes at once."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError

from sockudo_py.config.app import PUBLISHED_SECRETS, AppConfig
from sockudo_py.config.endpoint import PUSHER_EVENTS, SOCKUDO_EVENTS, EndpointConfig
from sockudo_py.config.equivalents import unify
from sockudo_py.config.interpolate import interpolate, names_in
from sockudo_py.config.model import Config
from sockudo_py.config.normalise import normalise
from sockudo_py.config.override import Environment
from sockudo_py.config.problems import Loc, Origins, Problem, show, translate
from sockudo_py.config.rules import broken_rules, switch_on_tls
from sockudo_py.config.unused import NOT_YET
from sockudo_py.errors import ConfigError

DEMO_APP = {"id": "app-id", "key": "app-key", "secret": "app-secret", "enable_client_messages": True}
LOOPBACK = ("127.0.0.1", "::1", "localhost")
DEMO_WARNING = (
    "no configuration file: this is the demo app app-id / app-key, whose secret is published, on {host}; "
    "start with --config FILE for anything else"
)
NO_QUEUE = ("is none, so the webhook endpoints get nothing", "set it to sqlite")
_FIRST_APP: Loc = ("app_manager", "array", "apps", 0)


def load(path: Path | None, env: Mapping[str, str]) -> Config:
    """Return the configuration in a file, or the demo's when there is none, with the environment's overrides.

    Raises ConfigError with a line per mistake, such as ``config.json: port: must be a number``. None shows a value.
    """
    if path is None:
        return _load_without_file(env)
    origins = Origins(str(path))
    raw = _parse(_read(path), origins.file)
    _refuse_one_app(raw, origins.file)
    environment = Environment(env, fetched(raw) | _fetched_by_apps(raw, env))
    config, warnings = _build(raw, env, origins, environment=environment)
    return config.noted(path, origins, (*warnings, *_not_yet_warnings(config, origins), *_advice(config, origins)))


def read_app(content: bytes, file: str, env: Mapping[str, str]) -> tuple[AppConfig, tuple[str, ...]]:
    """Return the app in the content of a file that holds one, and warnings. Raises ConfigError as ``load`` does."""
    origins = Origins(file, {_FIRST_APP: (None, ())})
    app_raw = _parse(content, file)
    if "app_manager" in app_raw:
        _refuse(f"{file}: looks like a whole configuration; give it to --config, and put only files of one app here")
    raw = {"app_manager": {"array": {"apps": [app_raw]}}}
    config, warnings = _build(raw, env, origins)
    app = config.app_manager.array.apps[0]
    advice = [origins.line(problem) for problem in endpoint_advice(app, (*_FIRST_APP, "webhooks"))]
    return app, (*warnings, *advice)


def read_endpoint(raw: Mapping[str, Any]) -> EndpointConfig:
    """Return the endpoint in a JSON object, such as the management API gets. Raises ConfigError as ``load`` does.

    References to environment variables are not resolved: what comes from outside must not read them.
    """
    place: Loc = (*_FIRST_APP, "webhooks", 0)
    if "secret_env" in raw:
        raise ConfigError(["webhook: secret_env: is not allowed here; send secret"])
    origins = Origins("webhook", {place: (None, ())})
    app = {"id": "-", "key": "-", "secret": "-", "webhooks": [dict(raw)]}
    config, _ = _build({"app_manager": {"array": {"apps": [app]}}}, {}, origins, references=False)
    return config.app_manager.array.apps[0].webhooks[0]


def _load_without_file(env: Mapping[str, str]) -> Config:
    environment = Environment(env)
    demo = not environment.has_app and environment.skips_inline_apps is None
    raw: dict[str, Any] = {}
    if demo:
        raw = {"host": "127.0.0.1", "mode": "development", "app_manager": {"array": {"apps": [dict(DEMO_APP)]}}}
    origins = Origins("the demo" if demo else "environment")
    config, warnings = _build(raw, env, origins, environment=environment)
    told = (*warnings, *_not_yet_warnings(config, origins), *_advice(config, origins))
    return config.noted(None, origins, (*((DEMO_WARNING.format(host=config.host),) if demo else ()), *told))


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
) -> tuple[Config, list[str]]:
    """Return the configuration that a document amounts to, and warnings."""
    problems: list[Problem] = []
    document = interpolate(raw, env, problems, origins) if references else raw
    unresolved = {problem.loc for problem in problems}
    unused = normalise(document, env, origins, problems)
    if environment is not None:
        environment.apply(document, origins, problems)
    warnings = list(_unused_warning(unused, origins.file))
    unify(document, Config, origins, warnings)
    switch_on_tls(document)
    problems += broken_rules(document, origins)
    config = None
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        # Where a ${VAR} could not be resolved, what is left of it is no news.
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


def _read(path: Path) -> bytes:
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
    if kind == ".toml" or re.match(r"\s*(#.*\s+)*(\[+[\w.]+\]+|\w+\s*=)", text):
        program = "import json, sys, tomllib; print(json.dumps(tomllib.load(sys.stdin.buffer), indent=2))"
        return f"; it looks like TOML, and this server reads JSON: python3 -c '{program}' < {file} > config.json"
    if kind in (".yaml", ".yml") or re.match(r"(---|\s*(#.*\s+)*\w+:(\s|$))", text):
        return f"; it looks like YAML, and this server reads JSON: yq -o=json {file} > config.json"
    return ""


def _refuse(line: str) -> NoReturn:
    raise ConfigError([line]) from None


def _unused_warning(unused: list[Loc], file: str) -> tuple[str, ...]:
    if not unused:
        return ()
    names = ", ".join(show(loc) for loc in unused)
    return (f"{file}: these keys of Sockudo have no effect here: {names}",)


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


def _advice(config: Config, origins: Origins) -> list[str]:
    """Return what is allowed but hardly meant."""
    manager = config.app_manager
    advice: list[Problem] = []
    base: Loc = ("app_manager", "array", "apps")
    if manager.driver != "file" and not manager.array.apps:
        advice.append(Problem(base, "there is no app, so nobody can connect", "add one"))
    if manager.driver == "file" and manager.array.apps:
        advice.append(Problem(base, "has no effect with the driver file", "move the apps to app_manager.file.path"))
    for index, app in enumerate(manager.array.apps):
        secrets = {app.secret.get_secret_value(), *(pair.secret.get_secret_value() for pair in app.keys)}
        exposed = config.host not in LOOPBACK
        if (exposed or config.mode == "production") and secrets & PUBLISHED_SECRETS:
            why = "mode is production" if config.mode == "production" else f"the server listens on {config.host}"
            text = f"is a published demo secret, and {why}"
            advice.append(Problem((*base, index, "secret"), text, "make one: openssl rand -hex 20"))
        if app.require_tls and not (config.ssl.enabled or config.trusted_proxies or config.unix_socket.enabled):
            text = "is true, but there is neither TLS nor a trusted proxy that has it, so nobody can connect"
            advice.append(Problem((*base, index, "require_tls"), text, "set ssl, or trusted_proxies"))
        advice += endpoint_advice(app, (*base, index, "webhooks"))
    advice += _plain_text(config)
    if config.queue.driver == "none" and any(app.webhooks for app in manager.array.apps):
        advice.append(Problem(("queue", "driver"), *NO_QUEUE))
    return [origins.line(problem) for problem in advice]


def _plain_text(config: Config) -> list[Problem]:
    given = [key for key in ("cert_path", "key_path") if getattr(config.ssl, key)]
    if config.ssl.enabled or not given:
        return []
    text = "has no effect: the port speaks plain text"
    remedy = "set ssl.enabled to true for TLS" if len(given) > 1 else "TLS needs ssl.cert_path and ssl.key_path"
    return [Problem(("ssl", key), text, remedy) for key in given]


def _word(name: str) -> str:
    """Return the name of an event as ours are written: memberAdded and presence.member-added as member_added."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.rpartition(".")[2].rpartition(":")[2])
    return re.sub(r"[-\s]", "_", snake).lower()


def endpoint_advice(app: AppConfig, base: Loc) -> list[Problem]:
    """Return what is hardly meant about the endpoints of an app: no events, or an event that looks misspelt."""
    advice = []
    for index, endpoint in enumerate(app.webhooks):
        if not endpoint.event_types:
            advice.append(Problem((*base, index, "event_types"), "is empty, so nothing is sent", 'list some, or ["*"]'))
        for place, name in enumerate(endpoint.event_types):
            if name in SOCKUDO_EVENTS:
                text = "is an event of Sockudo that this server does not have"
                advice.append(Problem((*base, index, "event_types", place), text, "only the API can trigger it"))
                continue
            close = difflib.get_close_matches(_word(name), PUSHER_EVENTS, n=1, cutoff=0.75)
            if close and name not in PUSHER_EVENTS:
                text = "is not an event of this server; only the API can trigger it"
                advice.append(Problem((*base, index, "event_types", place), text, f"did you mean {close[0]}?"))
    return advice
