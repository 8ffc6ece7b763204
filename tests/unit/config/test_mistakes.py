"""What an operator reads when a configuration can't be used."""

# ruff: noqa: E501 - the table of mistakes reads best with one row a line

from pathlib import Path
from typing import Any

import pytest

from sockudo_py.config import load
from sockudo_py.errors import ConfigError
from tests.unit.config.conftest import Load, Problems, app, with_apps, with_endpoint


def test_every_mistake_is_told_at_once(problems: Problems) -> None:
    document = {
        "port": "abc",
        "debug": "perhaps",
        "hots": "x",
        "host": "${NOPE}",
        "ssl": {"enabled": True, "cert_path": "c.pem"},
        "adapter": {"driver": "nats"},
        "queue": {"reliability": {"lease_duration_ms": 100}},
        **with_apps({"id": "1", "key": "k"}, app(id="1", key="k", max_connections="many")),
    }
    assert sorted(problems(document, {"METRICS_PORT": "high"})) == [
        "config.json: adapter.driver: must be 'local' or 'redis', not 'nats'",
        "config.json: app_manager.array.apps[0].secret: is missing; add it",
        "config.json: app_manager.array.apps[1].id: is also the id of app_manager.array.apps[0]; each must have its own",
        "config.json: app_manager.array.apps[1].key: is also the key of app_manager.array.apps[0]; "
        "each must have its own",
        "config.json: app_manager.array.apps[1].max_connections: must be a whole number, not 'many'",
        "config.json: debug: must be true or false, not 'perhaps'",
        "config.json: host: the environment variable NOPE is not set; "
        "set it (in a container: docker run -e NOPE=...), or write ${NOPE:-default}",
        "config.json: hots: is not a known key; did you mean host?",
        "config.json: port: must be a whole number, not 'abc'",
        "config.json: queue.reliability: lease_renew_interval_ms is too long; make it half of lease_duration_ms or less",
        "config.json: ssl.key_path: is missing, and TLS is asked for; name the PEM file",
        "environment variable METRICS_PORT: must be a whole number, not 'high'; "
        "if it is another program's, unset it for this server",
    ]


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ({"port": True}, "port: must be a number, not true"),
        ({"port": 70000}, "port: must be 65535 or less, not 70000"),
        ({"port": -1}, "port: must be 0 or more, not -1"),
        ({"port": 6001.5}, "port: must be a whole number, not 6001.5"),
        ({"host": 1}, "host: must be text, not 1; put it in quotes"),
        ({"host": ""}, "host: must not be empty"),
        (with_apps(app(secret="")), "app_manager.array.apps[0].secret: must not be empty"),
        ({"debug": 3}, "debug: must be true or false, not 3"),
        ({"websocket": []}, "websocket: must be an object, not a list; put it in { }"),
        ({"cors": {"origin": "*"}}, "cors.origin: must be a list; put it in [ ]"),
        ({"path_prefix": "realtime"}, 'path_prefix: must begin with "/", not \'realtime\''),
        ({"activity_timeout": 0}, "activity_timeout: must be more than 0, not 0"),
        ({"subscription_error_style": "x"}, "subscription_error_style: must be 'pusher', 'soketi' or 'both', not 'x'"),
        ({"unix_socket": {"permission_mode": 660}}, 'unix_socket.permission_mode: must be an octal mode in quotes, such as "660", not 660'),
        ({"trusted_proxies": ["10.0.0.0/99"]}, 'trusted_proxies[0]: must be an address or a network, such as "10.0.0.0/8", not \'10.0.0.0/99\''),
        ({"database": {"redis": {"url": "http://x"}}}, "database.redis.url: must be redis://[user:password@]host[:port][/db], rediss://... or unix:///path; write special characters of the password as %40 for @, %2F for /, %23 for #, %3F for ?, %3A for :, %25 for %"),
        ({"app_manager": {"driver": "file"}}, "app_manager.file.path: is missing, and the driver is file; name the folder"),
        ({"max_bytes": 1}, "max_bytes: is not a known key; did you mean websocket.max_bytes?"),
        ({"frobnicate": 1}, "frobnicate: is not a known key; remove it; docs/configuration.md lists the keys"),
        ({"queue": {"redis": {"concurency": 5}}}, "queue.redis.concurency: is not a known key; did you mean concurrency?"),
        ({"queue": {"redis": {"cluster_mode": True, "prefix": "q:"}}}, 'queue.redis: prefix needs a hash tag in cluster_mode, such as "{sockudo_queue}:", or keys lie apart'),
        ({"webhooks": {"batching": {"durable": False}}}, "webhooks.batching: durable can't be false: events are appended to the queue at once; remove it"),
        ({"adapter": {"redis": {"cluster_mode": True, "prefix": "{a}:"}}}, 'adapter.redis: prefix must have no "{" in cluster_mode: keys get hash tags of their own'),
        ({"database": {"redis": {"url": "redis://a", "sentinels": ["b"]}}}, "database.redis.url: is given besides sentinels, which say where the master is; remove one"),
        ({"database": {"redis": {"sentinels": ["a:b"]}}}, 'database.redis.sentinels[0]: must be {"host": "...", "port": ...} or "host:port"'),
        ({"database": {"redis": {"sentinel_tls": {"enabled": True}}}}, "database.redis.sentinel_tls.enabled: has no effect: there are no database.redis.sentinels; for TLS to one server use database.redis.url with rediss://"),
        (with_endpoint(filter={"channel_pattern": "a("}), "app_manager.array.apps[0].webhooks[0].filter.channel_pattern: is not a valid regular expression (see character 2)"),
        (with_endpoint(url="ftp://example.com"), "app_manager.array.apps[0].webhooks[0].url: must be an http:// or https:// URL with a host"),
        (with_endpoint(url=None), "app_manager.array.apps[0].webhooks[0]: has neither url nor lambda nor feed; give exactly one of them"),
        (with_endpoint(**{"lambda": {"function_name": "f"}}), "app_manager.array.apps[0].webhooks[0]: has url and lambda; give exactly one of them"),
        (with_endpoint(feed={}), "app_manager.array.apps[0].webhooks[0]: has url and feed; give exactly one of them"),
        (with_endpoint(profile="custom"), "app_manager.array.apps[0].webhooks[0]: needs signature_header with the profile custom"),
        (with_endpoint(uid="1"), "app_manager.array.apps[0].webhooks[0].uid: must be wh_ and up to 64 letters, digits, '_' or '-', not 1"),
        (with_endpoint(retry={"max_retries": 1, "max_attempts": 2}), "app_manager.array.apps[0].webhooks[0].retry: has both max_retries and max_attempts; keep max_retries"),
        (with_apps(app(keys=[{"key": "key-1", "secret": "x"}])), "app_manager.array.apps[0].keys[0].key: is also the key of app_manager.array.apps[0]; each must have its own"),
        (with_apps(app(secret=5.5)), "app_manager.array.apps[0].secret: must be text; put it in quotes"),
        (with_apps(app(policy=5)), "app_manager.array.apps[0].policy: must be an object; put it in { }"),
        (with_apps(app(policy={"limits": {"max_conections": 5}})), "app_manager.array.apps[0].policy.limits.max_conections: is not a known key; did you mean max_connections?"),
        (with_apps(app(enable_client_messages=True, policy={"features": {"enable_client_messages": False}})), "app_manager.array.apps[0].policy.features.enable_client_messages: is also given as app_manager.array.apps[0].enable_client_messages; keep one of them"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_key_and_remedy(problems: Problems, document: dict[str, Any], line: str) -> None:
    assert problems(document) == [f"config.json: {line}"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"port": 1,\n "host": }', "line 2, column 10: is not valid JSON: Expecting value"),
        ("", "is empty; put a JSON object into it: { }"),
        ("[]", "must be an object; put it in { }"),
        ('{"port": 1, "port": 2}', "the key port stands twice in one object; keep one"),
        ('{"port": NaN}', "holds a number that can't be read; write it with fewer digits"),
        ('{"port": ' + "9" * 5000 + "}", "holds a number that can't be read; write it with fewer digits"),
        ("[" * 100000, "is nested too deeply"),
    ],
)
def test_a_file_that_is_no_json_names_the_place(problems: Problems, text: str, line: str) -> None:
    assert problems(text) == [f"config.json: {line}"]


def test_a_file_that_is_not_utf8_says_so(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(b'{"host": "\xff"}')
    with pytest.raises(ConfigError, match="byte 11: is not UTF-8"):
        load(path, {})


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(b'\xef\xbb\xbf{"port": 1}')
    assert load(path, {}).port == 1


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "none.json", {})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        load(tmp_path, {})


def test_unknown_words_that_are_long_or_odd_are_cut_and_escaped(problems: Problems) -> None:
    (line,) = problems({"x\n" * 100: 1})
    assert "\n" not in line
    assert len(line) < 400


def test_two_endpoints_may_share_a_url(read: Load) -> None:
    endpoint = {"url": "https://example.com/hook", "event_types": ["*"]}
    config = read(with_apps(app(webhooks=[endpoint, endpoint])))
    assert len(config.app_manager.array.apps[0].webhooks) == 2


def test_two_endpoints_may_not_share_a_uid(problems: Problems) -> None:
    endpoint = {"url": "https://example.com/hook", "event_types": ["*"], "uid": "wh_1", "id": 7}
    assert problems(with_apps(app(webhooks=[endpoint]), app(id="2", key="k2", webhooks=[endpoint]))) == [
        "config.json: app_manager.array.apps[1].webhooks[0].uid: is also the uid of "
        "app_manager.array.apps[0].webhooks[0]; each must have its own",
        "config.json: app_manager.array.apps[1].webhooks[0].id: is also the id of "
        "app_manager.array.apps[0].webhooks[0]; each must have its own",
    ]
