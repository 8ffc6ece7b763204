"""Makes `docs/moving/settings.md`, the page for people who come from soketi or Sockudo, from the tables."""

from collections.abc import Iterable

from sockudo_py.config.tables.environment import (
    DEFAULT_APP,
    OVERRIDES,
    REGISTER_INLINE_APPS,
    SKIP_INLINE_APPS,
    Override,
)
from sockudo_py.config.tables.foreign import WITHOUT_EFFECT
from sockudo_py.config.tables.unused import HARMLESS_WHEN_BLANK

INTRODUCTION = """\
# Moving here: settings of soketi and Sockudo

Made by `sockudo-py print-config --migrating`; a test keeps it fresh. [What behaves differently](differences.md) has
what clients and backends may notice.

Keep your variables and your Sockudo file, and run `sockudo-py check-config --config FILE` (without `--config` when you
have variables only). It lists the settings that have no effect and those that it refuses. The rules:

- A warning at the start names the settings that have no effect here.
- A setting that this server can't follow, and without which it would be more open than you meant, stops the start;
  the message says what to write.
- Numbers, flags and words may be text, in any case: `"port": "6001"`, `LOG_LEVEL=WARN`. A number is fine for an id, a
  key or a secret. `null` means "not given": the default holds. No limit is written as `0` or `-1`.
- A variable that is empty, the word `null`, or a link to a service (`SOKETI_PORT=tcp://10.0.0.1:6001`, as Kubernetes
  and Docker set it) counts as not set. A warning names the last two.
- Of two names of one setting the one without a prefix counts, then Sockudo's, then soketi's. A warning names the other.
- Names without the prefix `SOKETI_` or `SOCKUDO_` may belong to other programs. A message about one says so.

## The app of variables

`SOKETI_DEFAULT_APP_ID`, `_KEY` and `_SECRET` (or `SOCKUDO_DEFAULT_APP_...`) make an app. Without a file it is the only
app, and the server listens on all addresses as soketi and Sockudo do; `HOST=127.0.0.1` keeps it to this machine.
With a file it joins the file's apps, but those whose secret is a demo's are left out. In Sockudo it takes the place of
all: for that set `SOCKUDO_SKIP_INLINE_APPS=true`.

## What differs

| setting | soketi, Sockudo | here |
|---|---|---|
| `SOKETI_SHUTDOWN_GRACE_PERIOD`, `SOKETI_USER_AUTHENTICATION_TIMEOUT` | milliseconds | the same; keys are in seconds |
| TLS | soketi: on when certificate and key are given; Sockudo: `SSL_ENABLED` | both; `SSL_ENABLED=false` wins |
| `QUEUE_DRIVER=sync` | soketi: webhooks are sent at once | `memory`, with a warning; `sqlite` survives a restart |
| `redis-cluster` as a driver | a driver of its own | `redis` with `cluster_mode` |
| `allowed_origins`: `*.example.com` | Sockudo: also `example.com` itself | subdomains only; list both |
| `channel_namespace` | what stands before a `:` | no name holds a `:` here, so `. - _ = @ , ;` end it too |
| apps in a database | asked for each client, and cached | [the same tables](../apps-databases.md), read as a whole |
| `idempotency`, `IDEMPOTENCY_*` | Sockudo: on or off, and how long, for each app | on in every app, for 5 minutes |
| `websocket.ping_interval` | Sockudo: a setting of connections | `ping_interval` at the top level |
| `maxClientEventsPerSecond` that is not given | any number | 10 a second and connection; `-1` for any number |
| a file of soketi with dotted keys (`appManager.array.apps`) | yes | nested, in our spelling; check-config says how |
| TOML, YAML | Sockudo: TOML | JSON; check-config shows the command that converts it |
"""


def page() -> str:
    """Return ``docs/moving/settings.md``."""
    lines = [INTRODUCTION]
    for title, own in (("soketi 1.6.1", True), ("Sockudo, up to 5.2.0, and names of our own", False)):
        lines += [f"## Variables of {title}", "", "| variable | becomes |", "|---|---|"]
        lines += sorted(_rows(own))
        lines += [
            "",
            f"Without effect here: {', '.join(f'`{name}`' for name in sorted(WITHOUT_EFFECT) if _is(name, own))}.",
        ]
        lines += [""]
    return "\n".join(lines)


def _rows(soketi: bool) -> Iterable[str]:
    for row in OVERRIDES:
        for name in row.names:
            if _is(name, soketi):
                yield f"| `{name}` | {_fate(row)} |"
    for row in DEFAULT_APP:
        for name in row.names:
            if _is(name, soketi):
                yield f"| `{name}` | the app's `{row.keys[0]}`{_NOTES.get(row.kind, '')} |"
    if not soketi:
        yield f"| `{SKIP_INLINE_APPS}` | when true, the apps of the file are left out |"
        yield f"| `{REGISTER_INLINE_APPS}` | when false, the apps of the file are left out |"


_NOTES = {
    "milliseconds": ", in milliseconds",
    "list": ", separated by commas",
    "json": ", JSON as in a file",
    "switch_on": ", only when it says yes",
}


def _fate(row: Override) -> str:
    for key in row.keys:
        for harmless, remedy in HARMLESS_WHEN_BLANK.items():
            if f"{key}.".startswith(f"{harmless}."):
                return f"refused when it asks for something: {remedy}"
    keys = ", ".join(f"`{key}`" for key in row.keys)
    return keys + _NOTES.get(row.kind, "")


def _is(name: str, soketi: bool) -> bool:
    return name.startswith("SOKETI_") is soketi
