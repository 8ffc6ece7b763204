"""The Lambda function of docs/aws.md takes what this server invokes it with."""

import sys
import time
from typing import Any

import orjson
import pytest

import sockudo_py.receiver
from sockudo_py.endpoints import LambdaTarget
from sockudo_py.queues.jobs import Job
from sockudo_py.webhooks.delivery.requests.attempt import requests_for
from sockudo_py.webhooks.events import encode
from sockudo_py.webhooks.targets.aws_lambda import payload_of
from tests.docs.made import KEY, endpoint, sample
from tests.docs.pages import blocks, page, section

FUNCTION = LambdaTarget("presence-handler", "eu-central-1")


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "receiver", sockudo_py.receiver)
    monkeypatch.setenv("WEBHOOK_SECRET", KEY.secret.decode())
    [code] = blocks(section(page("aws.md"), "Webhooks to Lambda functions"), "python")
    names: dict[str, Any] = {}
    exec(compile(code, "function", "exec"), names)  # noqa: S102 - our own document
    return names["handler"]


def test_it_verifies_and_reads_the_events(handler: Any, capsys: pytest.CaptureFixture[str]) -> None:
    now = time.time()
    event = sample("member_added")
    job = Job(
        events_text=b"[%b]" % encode(event), id="dl_1", endpoint="wh", app_id="my-app", created_ms=int(now * 1000)
    )
    [request] = requests_for(endpoint(url=None, function=FUNCTION), job, now)
    payload = orjson.loads(payload_of(request, FUNCTION))
    assert handler(payload, None) == {"statusCode": 200, "body": "OK"}
    assert "presence-room" in capsys.readouterr().out
    payload["body"] += " "
    assert handler(payload, None)["statusCode"] == 401
