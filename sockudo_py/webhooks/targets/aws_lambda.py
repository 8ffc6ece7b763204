"""Webhooks by AWS Lambda: the signed request as an API gateway would hand it to the function."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import boto3
import orjson
from botocore import exceptions as aws
from botocore.config import Config

from sockudo_py.endpoints import LambdaTarget
from sockudo_py.webhooks.targets.base import Delivered, Failure, Outcome, Request, Timing
from sockudo_py.webhooks.targets.http import status_class

# The client library blocks, and a function that hangs holds a thread for its whole timeout: more threads than the eight
# that one endpoint may have in flight, so that it can't hold them all.
THREADS = 32
RESPONSE_BYTES = 4096
ASYNC_BYTES = 1_000_000  # what AWS takes for invocation type Event
SYNC_BYTES = 6_000_000

_THROTTLED = frozenset({"TooManyRequestsException", "ThrottlingException", "Throttling", "RequestLimitExceeded"})
# First match wins.
_ERROR_CLASSES: tuple[tuple[type[BaseException], str], ...] = (
    (aws.ConnectTimeoutError, "timeout_connect"),
    (aws.ReadTimeoutError, "timeout_read"),
    (aws.SSLError, "tls"),
    (aws.ConnectionClosedError, "reset"),
    (aws.EndpointConnectionError, "connect"),
    (aws.HTTPClientError, "connect"),
)


class LambdaClient(Protocol):
    """What is used of boto3's client. ``Payload`` of the answer is a stream."""

    def invoke(self, **parameters: Any) -> dict[str, Any]:
        """Invoke a function. Raises botocore's errors."""

    def close(self) -> None:
        """Close connections."""


ClientFactory = Callable[[str, float, float], LambdaClient]


def make_client(region: str, connect_timeout: float, read_timeout: float) -> LambdaClient:
    """Return a client that never tries again by itself: that would invoke a function twice."""
    client: LambdaClient = boto3.session.Session().client(
        "lambda",
        region_name=region,
        config=Config(
            retries={"total_max_attempts": 1},
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            max_pool_connections=THREADS,
        ),
    )
    return client


class LambdaInvoker:
    """Invokes functions, in threads of its own. Credentials come from where boto3 finds them."""

    name = "lambda"

    def __init__(self, *, client_factory: ClientFactory = make_client, response_bytes: int = RESPONSE_BYTES) -> None:
        self._make = client_factory
        self._response_bytes = response_bytes
        self._clients: dict[tuple[str, float, float], LambdaClient] = {}
        self._making = threading.Lock()
        self._pool = ThreadPoolExecutor(THREADS, "webhook-lambda")

    async def send(self, request: Request) -> Outcome:
        """Make one attempt."""
        started = time.perf_counter()
        function = request.function
        if function is None:
            return Failure("internal", "the request names no function")
        payload = payload_of(request, function)
        limit = ASYNC_BYTES if function.invocation_type == "Event" else SYNC_BYTES
        if len(payload) > limit:
            return Failure("too_large", f"the payload has {len(payload)} bytes; AWS takes {limit}")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(request.timeout):
                return await loop.run_in_executor(self._pool, self._invoke, request, function, payload, started)
        except TimeoutError:
            return Failure("timeout_read", "no answer within the request timeout", timing=_timing(started))

    async def close(self) -> None:
        """Let go of the threads; an invocation under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _invoke(self, request: Request, function: LambdaTarget, payload: bytes, started: float) -> Outcome:
        parameters: dict[str, Any] = {
            "FunctionName": function.function_name,
            "InvocationType": function.invocation_type,
            "Payload": payload,
        }
        if function.qualifier is not None:
            parameters["Qualifier"] = function.qualifier
        try:
            answer = self._client(function.region, request).invoke(**parameters)
            body = answer["Payload"].read() if "Payload" in answer else b""
        except aws.ClientError as error:
            return _refused(error, _timing(started))
        except (aws.BotoCoreError, OSError) as error:
            error_class = next((name for kind, name in _ERROR_CLASSES if isinstance(error, kind)), "lambda_error")
            return Failure(error_class, type(error).__name__, timing=_timing(started))
        return self._judge(function, answer, body, _timing(started))

    def _judge(self, function: LambdaTarget, answer: dict[str, Any], body: bytes, timing: Timing) -> Outcome:
        kept, truncated = body[: self._response_bytes], len(body) > self._response_bytes
        status = int(answer.get("StatusCode", 0))
        function_error = answer.get("FunctionError")
        if function_error is not None:
            return Failure(
                "lambda_error", f"the function failed: {function_error}"[:200], status, None, timing, kept, truncated
            )
        if status != (202 if function.invocation_type == "Event" else 200):
            return Failure("lambda_error", f"AWS answered {status}", status, None, timing, kept, truncated)
        own_status = _own_status(body)
        if own_status is not None and not 200 <= own_status <= 299:
            message = f"the function answered {own_status}"
            return Failure(status_class(own_status), message, own_status, None, timing, kept, truncated)
        return Delivered(own_status or status, timing, kept, truncated)

    def _client(self, region: str, request: Request) -> LambdaClient:
        key = (region, request.connect_timeout, request.timeout)
        with self._making:  # making clients is not safe in threads, using them is
            client = self._clients.get(key)
            if client is None:
                client = self._clients[key] = self._make(*key)
            return client


def payload_of(request: Request, function: LambdaTarget) -> bytes:
    """Return what the function gets: an API gateway's event with the signed body as a string, or the body alone."""
    if function.payload_format == "pusher":
        return request.body
    return orjson.dumps(
        {
            "version": "1.0",
            "httpMethod": "POST",
            "path": "/",
            "isBase64Encoded": False,
            "headers": dict(request.headers),
            "body": request.body.decode(),
        }
    )


def _refused(error: aws.ClientError, timing: Timing) -> Failure:
    details = error.response
    code = str(details.get("Error", {}).get("Code", "unknown"))
    status = details.get("ResponseMetadata", {}).get("HTTPStatusCode")
    error_class = "lambda_throttle" if code in _THROTTLED or status == 429 else "lambda_error"
    return Failure(error_class, f"AWS answered {code}"[:200], status, timing=timing)


def _own_status(body: bytes) -> int | None:
    """Return the ``statusCode`` that the function itself gave, if it did."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    status = answer.get("statusCode") if isinstance(answer, dict) else None
    return status if isinstance(status, int) and not isinstance(status, bool) else None


def _timing(started: float) -> Timing:
    return Timing(round((time.perf_counter() - started) * 1000))
