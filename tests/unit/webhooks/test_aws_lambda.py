import io
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from botocore import exceptions as aws

from sockudo_py.endpoints import LambdaTarget
from sockudo_py.metrics import Metrics
from sockudo_py.webhooks.delivery.requests.attempt import requests_for
from sockudo_py.webhooks.targets.aws_invoke import MOST_CLIENTS, Clients, LambdaClient
from sockudo_py.webhooks.targets.aws_lambda import ASYNC_BYTES, LambdaInvoker
from sockudo_py.webhooks.targets.base import Delivered, Failure, Outcome, Request
from sockudo_py.webhooks.targets.retry import wants_retry
from tests.unit.webhooks import verifiers
from tests.unit.webhooks.make import APP_SECRET, NOW, endpoint, job

FUNCTION = LambdaTarget("sockudoEventHandler", "us-east-1", "Event", "PROD")
DIRECT = LambdaTarget("sockudoEventHandler", "us-east-1", "RequestResponse")


class FakeClient:
    def __init__(
        self, answer: dict[str, Any] | Exception, body: bytes = b"", wait: threading.Event | None = None
    ) -> None:
        self.answer = answer
        self.body = body
        self.wait = wait
        self.calls: list[dict[str, Any]] = []
        self.closed = False

    def invoke(self, **parameters: Any) -> dict[str, Any]:
        self.calls.append(parameters)
        if self.wait is not None:
            self.wait.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return {**self.answer, "Payload": io.BytesIO(self.body)}

    def close(self) -> None:
        self.closed = True


def request(function: LambdaTarget = FUNCTION, **fields: Any) -> Request:
    [made] = requests_for(endpoint(function=function, **fields), job(), NOW)
    return made


@asynccontextmanager
async def invoker(client: FakeClient) -> AsyncIterator[LambdaInvoker]:
    made = LambdaInvoker(client_factory=lambda region, connect, read: client)
    try:
        yield made
    finally:
        await made.close()


async def outcome_of(client: FakeClient, function: LambdaTarget = FUNCTION, **fields: Any) -> Outcome:
    async with invoker(client) as target:
        return await target.send(request(function, **fields))


async def test_a_function_is_invoked_as_configured() -> None:
    client = FakeClient({"StatusCode": 202})
    outcome = await outcome_of(client)
    assert isinstance(outcome, Delivered)
    assert outcome.status == 202
    [call] = client.calls
    assert (call["FunctionName"], call["InvocationType"], call["Qualifier"]) == ("sockudoEventHandler", "Event", "PROD")
    assert client.closed


async def test_n209_the_documented_handler_takes_what_the_function_gets() -> None:
    client = FakeClient({"StatusCode": 202})
    await outcome_of(client, profile="sockudo")
    event = orjson.loads(client.calls[0]["Payload"])
    assert verifiers.sockudo_lambda(event, APP_SECRET.decode())["statusCode"] == 200
    assert event["httpMethod"] == "POST"
    assert event["isBase64Encoded"] is False
    assert event["headers"]["Content-Type"] == "application/json"


async def test_the_pusher_format_is_the_body_alone() -> None:
    client = FakeClient({"StatusCode": 202})
    await outcome_of(client, LambdaTarget("f", "us-east-1", payload_format="pusher"))
    assert set(orjson.loads(client.calls[0]["Payload"])) == {"time_ms", "events"}
    assert "Qualifier" not in client.calls[0]


@pytest.mark.parametrize(
    ("answer", "body", "status"),
    [
        ({"StatusCode": 200}, b'{"statusCode":204}', 204),
        ({"StatusCode": 200}, b'"done"', 200),
        ({"StatusCode": 200}, b"null", 200),
        ({"StatusCode": 200}, b"", 200),
    ],
)
async def test_a_function_that_answers_well_took_it(answer: dict[str, Any], body: bytes, status: int) -> None:
    outcome = await outcome_of(FakeClient(answer, body), DIRECT)
    assert isinstance(outcome, Delivered)
    assert outcome.status == status


def refusal(code: str, status: int = 400) -> aws.ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "hush"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return aws.ClientError(answer, "Invoke")


@pytest.mark.parametrize(
    ("answer", "body", "error_class", "status"),
    [
        ({"StatusCode": 200, "FunctionError": "Unhandled"}, b'{"errorMessage":"x"}', "lambda_error", None),
        ({"StatusCode": 200}, b'{"statusCode":401}', "http_4xx", 401),
        ({"StatusCode": 200}, b'{"statusCode":503}', "http_5xx", 503),
        ({"StatusCode": 200}, b'{"statusCode":"503"}', "http_5xx", 503),
        ({"StatusCode": 204}, b"", "lambda_error", 204),
        (refusal("TooManyRequestsException", 429), b"", "lambda_throttle", 429),
        (refusal("ResourceNotFoundException", 404), b"", "lambda_error", 404),
        (aws.NoCredentialsError(), b"", "lambda_error", None),
        (aws.ReadTimeoutError(endpoint_url="x"), b"", "timeout_read", None),
        (aws.ConnectTimeoutError(endpoint_url="x"), b"", "timeout_connect", None),
        (aws.EndpointConnectionError(endpoint_url="x"), b"", "connect", None),
        (aws.ConnectionClosedError(endpoint_url="x"), b"", "reset", None),
        (aws.SSLError(endpoint_url="x", error=OSError("y")), b"", "tls", None),
        (OSError("disk"), b"", "lambda_error", None),
    ],
)
async def test_what_goes_wrong_has_a_class(
    answer: dict[str, Any] | Exception, body: bytes, error_class: str, status: int | None
) -> None:
    outcome = await outcome_of(FakeClient(answer, body), DIRECT)
    assert isinstance(outcome, Failure)
    assert (outcome.error_class, outcome.status) == (error_class, status)
    assert "hush" not in outcome.message


async def test_an_event_that_aws_did_not_accept_is_a_failure() -> None:
    outcome = await outcome_of(FakeClient({"StatusCode": 200}))
    assert isinstance(outcome, Failure)
    assert outcome.error_class == "lambda_error"


async def test_a_payload_beyond_what_aws_takes_is_not_sent() -> None:
    client = FakeClient({"StatusCode": 202})
    async with invoker(client) as target:
        [big] = requests_for(endpoint(function=FUNCTION), job({"name": "x", "data": "y" * ASYNC_BYTES}), NOW)
        outcome = await target.send(big)
    assert isinstance(outcome, Failure)
    assert outcome.error_class == "too_large"
    assert client.calls == []


async def test_a_function_that_hangs_is_given_up_in_time_and_does_not_stop_another() -> None:
    wait = threading.Event()
    hung, good = FakeClient({"StatusCode": 202}, wait=wait), FakeClient({"StatusCode": 202})
    clients: dict[str, LambdaClient] = {"eu-west-1": hung, "us-east-1": good}
    target = LambdaInvoker(client_factory=lambda region, connect, read: clients[region])
    try:
        started = time.monotonic()
        outcome = await target.send(request(LambdaTarget("f", "eu-west-1"), request_timeout=0.1))
        assert isinstance(outcome, Failure)
        assert outcome.error_class == "timeout_read"
        assert time.monotonic() - started < 30
        assert isinstance(await target.send(request()), Delivered)
    finally:
        wait.set()
        await target.close()


async def test_clients_are_made_once_per_region_and_timeouts() -> None:
    made: list[tuple[str, float, float]] = []

    def factory(region: str, connect: float, read: float) -> LambdaClient:
        made.append((region, connect, read))
        return FakeClient({"StatusCode": 202})

    target = LambdaInvoker(client_factory=factory)
    for timeout in (10.0, 10.0, 20.0):
        await target.send(request(request_timeout=timeout))
    await target.close()
    assert made == [("us-east-1", 5.0, 10.0), ("us-east-1", 5.0, 20.0)]


async def test_the_clients_that_are_kept_are_bounded() -> None:
    made: list[FakeClient] = []

    def factory(region: str, connect: float, read: float) -> LambdaClient:
        made.append(FakeClient({"StatusCode": 202}))
        return made[-1]

    clients = Clients(factory)
    for number in range(MOST_CLIENTS):
        clients.get("us-east-1", 5.0, number)
    clients.get("us-east-1", 5.0, 0)
    clients.get("us-east-1", 5.0, MOST_CLIENTS)
    assert [client.closed for client in made] == [False, True] + [False] * (MOST_CLIENTS - 1)
    clients.close()
    assert all(client.closed for client in made)


async def test_missing_credentials_are_named_with_the_remedy() -> None:
    outcome = await outcome_of(FakeClient(aws.NoCredentialsError()))
    assert isinstance(outcome, Failure)
    assert outcome.message.startswith("no AWS credentials for this server: set AWS_ACCESS_KEY_ID")


async def test_a_throttling_that_says_for_how_long_is_heard() -> None:
    error = refusal("TooManyRequestsException", 429)
    error.response["ResponseMetadata"]["HTTPHeaders"] = {"retry-after": "7"}
    outcome = await outcome_of(FakeClient(error))
    assert isinstance(outcome, Failure)
    assert outcome.retry_after == 7.0


async def test_a_function_that_failed_is_tried_again_where_only_trouble_on_its_side_is() -> None:
    outcome = await outcome_of(FakeClient({"StatusCode": 200, "FunctionError": "Unhandled"}), DIRECT)
    assert isinstance(outcome, Failure)
    assert wants_retry(outcome, "5xx")


async def test_invocations_are_counted_by_type() -> None:
    metrics = Metrics()
    client = FakeClient({"StatusCode": 202})
    target = LambdaInvoker(metrics=metrics, client_factory=lambda region, connect, read: client)
    await target.send(request())
    await target.send(request(DIRECT))
    await target.send(request())
    await target.close()
    assert metrics.series["webhook_lambda_invocations_total"].values == {("Event",): 2, ("RequestResponse",): 1}


def test_the_client_library_is_not_loaded_before_the_first_invocation() -> None:
    code = (
        "import sys, sockudo_py.webhooks.targets.aws_lambda as one, sockudo_py.wiring.drivers.webhooks as two;"
        "one.LambdaInvoker(); assert not {'boto3', 'botocore'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
