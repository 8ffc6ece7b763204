"""``auth`` and client certificates of endpoints, as they are written."""

import json
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.apps.definition import define_apps
from sockudo_py.config import load
from sockudo_py.config.printing.describe import redacted, secrets_of
from sockudo_py.endpoints import ClientCertificate, Endpoint, OAuth2
from sockudo_py.errors import ConfigError
from sockudo_py.webhooks.delivery.requests.attempt import requests_for
from sockudo_py.webhooks.endpoints.validation import endpoint_problems
from sockudo_py.webhooks.stats import describe_endpoint
from tests.unit.webhooks import make

ENV = {"PASSWORD": "pa55word", "TOKEN": "t0ken", "CLIENT": "cl1ent"}
OAUTH2 = {"type": "oauth2", "token_url": "https://id.example/t0k", "client_id": "me", "client_secret_env": "CLIENT"}


def endpoint(folder: Path, auth: dict[str, Any] | None, **fields: Any) -> Endpoint:
    """Return the endpoint that a file makes. Raises ConfigError."""
    hook = {"url": "https://a.example/x", "event_types": ["*"], "auth": auth, **fields}
    app = {"id": "1", "key": "k", "secret": "s", "webhooks": [hook]}
    path = folder / "config.json"
    path.write_text(json.dumps({"app_manager": {"array": {"apps": [app]}}}))
    config = load(path, ENV)
    shown = str(redacted(config))
    assert not [secret for secret in ENV.values() if secret in shown]
    assert {secret for secret in ENV.values() if secret in str(auth)} <= set(secrets_of(config))
    [definition] = define_apps(config, endpoint_problems)
    return definition.endpoints[0]


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"type": "basic", "username": "me", "password_env": "PASSWORD"}, "Basic bWU6cGE1NXdvcmQ="),
        ({"type": "bearer", "token_env": "TOKEN"}, "Bearer t0ken"),
        ({"type": "bearer", "token": "plain"}, "Bearer plain"),
    ],
)
def test_what_never_changes_is_a_header_that_nobody_sees(tmp_path: Path, auth: dict[str, Any], header: str) -> None:
    made = endpoint(tmp_path, auth)
    [request] = requests_for(made, make.job(), make.NOW)
    assert dict(request.headers)["Authorization"] == header
    for shown in (repr(made), repr(request), str(describe_endpoint(made))):
        assert header not in shown


def test_oauth2_has_its_fields_and_no_header(tmp_path: Path) -> None:
    made = endpoint(tmp_path, {**OAUTH2, "scope": "a b"})
    assert made.oauth2 == OAuth2("https://id.example/t0k", "me", "cl1ent", "a b")
    [request] = requests_for(made, make.job(), make.NOW)
    assert "Authorization" not in dict(request.headers)
    assert request.oauth2 == made.oauth2
    assert "cl1ent" not in repr(made) + repr(request)


def test_a_client_certificate_stands_in_files(tmp_path: Path) -> None:
    made = endpoint(tmp_path, None, client_cert_path="c.pem", client_key_path="k.pem")
    assert made.client_cert == ClientCertificate("c.pem", "k.pem")


@pytest.mark.parametrize(
    ("auth", "fields", "said"),
    [
        ({"type": "basic", "username": "me"}, {}, "needs password"),
        ({"type": "bearer"}, {}, "needs token"),
        ({"type": "oauth2", "token_url": "https://x.example/"}, {}, "needs client_id"),
        ({"type": "bearer", "token": "t", "username": "me"}, {}, "has username"),
        ({"type": "basic", "username": "a:b", "password": "p"}, {}, "colon"),
        ({"type": "digest"}, {}, "auth.type"),
        ({"type": "bearer", "token_env": "NONE"}, {}, "NONE is not set"),
        ({"type": "bearer", "token": "t"}, {"headers": {"authorization": "x"}}, "given twice"),
        (OAUTH2, {"headers": {"Authorization": "x"}}, "remove one of them"),
        ({**OAUTH2, "token_url": "http://169.254.169.254/t"}, {}, "auth.token_url"),
        ({**OAUTH2, "token_url": "ftp://x.example"}, {}, "token_url"),
        ({"type": "bearer", "token": "a\r\nX: y"}, {}, "control character"),
        (None, {"client_key_path": "k.pem"}, "no client_cert_path"),
        (None, {"client_cert_path": "c.pem", "url": "http://a.example/"}, "https:"),
    ],
)
def test_what_does_not_fit_together_is_named(
    tmp_path: Path, auth: dict[str, Any] | None, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as problem:
        endpoint(tmp_path, auth, **fields)
    assert said in str(problem.value)
    assert not [secret for secret in ENV.values() if secret in str(problem.value)]
