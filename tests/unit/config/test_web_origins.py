"""Entries of `allowed_origins` and `cors.origin`: brought into the form that browsers send, or refused."""

from typing import Any

import pytest

from sockudo_py.config.sections.web_origins import web_origin
from sockudo_py.protocol.readers.opening import origin_allowed
from tests.unit.config.conftest import Load, Problems, app, with_apps


@pytest.mark.parametrize("document", [{"allowed_origins": []}, {"allowed_origins": None}, {"allowedOrigins": []}])
def test_an_empty_list_lets_everybody_in(read: Load, document: dict[str, Any]) -> None:
    allowed = read(with_apps(app(**document))).app_manager.array.apps[0].allowed_origins
    assert origin_allowed(allowed, "https://x.example")
    assert origin_allowed(allowed, None)


@pytest.mark.parametrize(
    ("entry", "sent"),
    [
        ("https://x.example/", "https://x.example"),
        (" https://x.example ", "https://x.example"),
        ("HTTPS://X.Example", "https://x.example"),
        ("https://x.example:443", "https://x.example"),
        ("http://x.example:80/", "http://x.example"),
        ("https://x.example:08443", "https://x.example:8443"),
        ("x.example:443", "https://x.example"),
        ("x.example", "http://x.example:3000"),
        ("*.x.example/", "https://a.x.example"),
        ("https://*.x.example", "https://a.b.x.example"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("file://", "file://"),
        ("null", "null"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abc_def", "chrome-extension://abc_def"),
        ("any", "https://whatever.example"),
    ],
)
def test_an_entry_matches_what_browsers_send(read: Load, entry: str, sent: str) -> None:
    config = read(with_apps(app(allowed_origins=[entry])))
    assert origin_allowed(config.app_manager.array.apps[0].allowed_origins, sent)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        "https://",
        "https://x.example/app",
        "https://x.example?a",
        "https://user@x.example",
        "https://x example",
        "wss://x.example",
        "ws://x.example",
        "file:///home/page.html",
        "https://*",
        "http://localhost:*",
        "https://x.*.example",
        "*x.example",
        "https://x.example:port",
        "https://x.example:0",
        "https://x.example:70000",
        "://x.example",
        "http://[::x]",
        "https://x..example",
        "https:/x.example",
    ],
)
def test_an_entry_that_no_browser_sends_is_a_mistake_that_says_what_to_write(problems: Problems, entry: str) -> None:
    for document in (with_apps(app(allowed_origins=[entry])), {"cors": {"origin": [entry]}}):
        (line,) = problems(document)
        assert ("allowed_origins[0]: " in line) or ("cors.origin[0]: " in line)
        assert ";" in line or "an invalid port" in line or "an invalid IPv6 address" in line


def test_a_mistake_shows_no_value() -> None:
    with pytest.raises(ValueError, match=r"^(?!.*secret-place)"):
        web_origin("https://secret-place.example/path")


@pytest.mark.parametrize("entry", ["https://x.example", "x.example", "*.x.example"])
def test_a_list_lets_nobody_else_in(read: Load, entry: str) -> None:
    allowed = read(with_apps(app(allowed_origins=[entry]))).app_manager.array.apps[0].allowed_origins
    assert not origin_allowed(allowed, "https://evil.example")
    assert not origin_allowed(allowed, "null")
    assert not origin_allowed(allowed, None)


def test_origins_of_the_http_api_are_read_alike(read: Load) -> None:
    config = read({"cors": {"origin": ["https://X.example/", "*.y.example"]}})
    assert config.cors.origin == ("https://x.example", "*.y.example")
    assert read({}, {"CORS_ORIGINS": "https://a.example/, null"}).cors.origin == ("https://a.example", "null")


def test_a_comma_alone_in_a_variable_does_not_let_everybody_in(problems: Problems) -> None:
    env = {"SOCKUDO_DEFAULT_APP_ID": "1", "SOCKUDO_DEFAULT_APP_KEY": "k", "SOCKUDO_DEFAULT_APP_SECRET": "s"}
    (line,) = problems({}, {**env, "SOCKUDO_DEFAULT_APP_ALLOWED_ORIGINS": ","})
    assert line.startswith("environment variable SOCKUDO_DEFAULT_APP_ALLOWED_ORIGINS: ")
