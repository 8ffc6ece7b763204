"""The AWS client library itself, talking to a receiver that stands in for AWS."""

from collections.abc import AsyncIterator

import pytest

from sockudo_py.endpoints import LambdaTarget
from sockudo_py.webhooks.delivery import requests_for
from sockudo_py.webhooks.targets.aws_lambda import LambdaInvoker
from sockudo_py.webhooks.targets.base import Delivered, Failure
from tests.support.receiver import Answer, Hang, Receiver
from tests.unit.webhooks.make import endpoint, job

PATH = "/2015-03-31/functions/sockudoEventHandler/invocations?Qualifier=PROD"
FUNCTION = LambdaTarget("sockudoEventHandler", "us-east-1", "Event", "PROD")


@pytest.fixture
async def aws(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", receiver.url(""))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield receiver


async def test_an_invocation_on_the_wire(aws: Receiver) -> None:
    aws.script(Answer(202, b""), path=PATH)
    target = LambdaInvoker()
    [request] = requests_for(endpoint(function=FUNCTION), job(), 1_700_000_000.0)
    outcome = await target.send(request)
    await target.close()
    assert isinstance(outcome, Delivered)
    [got] = aws.received
    assert got.path == PATH
    assert got.headers["x-amz-invocation-type"] == "Event"
    assert got.json()["body"] == request.body.decode()
    assert got.json()["headers"]["X-Pusher-Signature"] == dict(request.headers)["X-Pusher-Signature"]


async def test_a_throttled_invocation_is_not_repeated_by_the_library(aws: Receiver) -> None:
    aws.script(
        then=Answer(429, b'{"Type":"User"}', headers=(("x-amzn-ErrorType", "TooManyRequestsException"),)), path=PATH
    )
    target = LambdaInvoker()
    [request] = requests_for(endpoint(function=FUNCTION), job(), 1_700_000_000.0)
    outcome = await target.send(request)
    await target.close()
    assert isinstance(outcome, Failure)
    assert outcome.error_class == "lambda_throttle"
    assert len(aws.received) == 1


async def test_an_invocation_that_hangs_is_given_up_and_not_repeated(aws: Receiver) -> None:
    aws.script(then=Hang(), path=PATH)
    target = LambdaInvoker()
    [request] = requests_for(endpoint(function=FUNCTION, request_timeout=0.3), job(), 1_700_000_000.0)
    outcome = await target.send(request)
    await target.close()
    assert isinstance(outcome, Failure)
    assert outcome.error_class == "timeout_read"
    assert len(aws.received) <= 1
