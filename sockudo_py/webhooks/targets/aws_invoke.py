"""The blocking part of Lambda webhooks: boto3's clients, and the outcomes of their answers and errors."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import boto3
import orjson
from botocore import exceptions as aws
from botocore.config import Config
from botocore.parsers import ResponseParserError

from sockudo_py.endpoints import LambdaTarget
from sockudo_py.webhooks.targets.base import Delivered, Failure, Outcome, Timing, status_class
from sockudo_py.webhooks.targets.retry import parse_retry_after

MOST_CLIENTS = 32
CONNECTIONS = 16  # kept open per client
_MOST_ANSWER = 7 * 1024 * 1024  # AWS sends 6 MiB at most

_THROTTLED = frozenset(
    {
        "TooManyRequestsException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
        "EC2ThrottledException",
    }
)
_TOO_LARGE = frozenset({"RequestTooLargeException", "RequestEntityTooLargeException"})
_CREDENTIALS = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.NoAuthTokenError,
    aws.ProfileNotFound,
)
# First match wins.
_ERROR_CLASSES: tuple[tuple[type[BaseException], str], ...] = (
    (aws.ConnectTimeoutError, "timeout_connect"),
    (aws.ReadTimeoutError, "timeout_read"),
    (aws.SSLError, "tls"),
    (aws.ConnectionClosedError, "reset"),
    (aws.ResponseStreamingError, "reset"),
    (aws.IncompleteReadError, "reset"),
    (aws.EndpointConnectionError, "connect"),
    (aws.HTTPClientError, "connect"),
    (ResponseParserError, "protocol"),
)
_NO_CREDENTIALS = (
    "no AWS credentials for this server: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give its machine a role"
)
_MESSAGES = {
    "timeout_connect": "no connection to AWS within the connect timeout",
    "timeout_read": "no complete answer within the request timeout",
    "tls": "the certificate of the AWS endpoint is not accepted",
    "reset": "the connection to AWS was closed before a complete answer came",
    "connect": "the AWS endpoint can't be reached",
    "protocol": "the answer is not one of AWS",
}


class LambdaClient(Protocol):
    """The part of boto3's client that we use. ``Payload`` of the answer is a stream."""

    def invoke(self, **parameters: Any) -> dict[str, Any]:
        """Invoke a function. Raises botocore's errors."""

    def close(self) -> None:
        """Close connections."""


ClientFactory = Callable[[str, float, float], LambdaClient]


def make_client(region: str, connect_timeout: float, read_timeout: float) -> LambdaClient:
    """Return a client without retries of its own: they would invoke a function twice."""
    client: LambdaClient = boto3.session.Session().client(
        "lambda",
        region_name=region,
        config=Config(
            retries={"total_max_attempts": 1},
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            max_pool_connections=CONNECTIONS,
        ),
    )
    return client


class Clients:
    """Clients by region and timeouts, least recently used first out. Thread-safe."""

    def __init__(self, make: ClientFactory, most: int = MOST_CLIENTS) -> None:
        self._make = make
        self._most = most
        self._clients: OrderedDict[tuple[str, float, float], LambdaClient] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, region: str, connect_timeout: float, read_timeout: float) -> LambdaClient:
        """Return a client. Raises the errors of ``make``."""
        key = (region, connect_timeout, read_timeout)
        with self._lock:  # boto3: making clients is not thread-safe, using them is
            client = self._clients.get(key)
            if client is None:
                client = self._clients[key] = self._make(*key)
            self._clients.move_to_end(key)
            if len(self._clients) > self._most:
                self._clients.popitem(last=False)[
                    1
                ].close()  # closes idle connections only: a thread that uses the client may go on
            return client

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()


def invoke(
    clients: Clients,
    function: LambdaTarget,
    payload: bytes,
    *,
    timeouts: tuple[float, float],
    response_bytes: int,
    clock: Callable[[], Timing],
) -> Outcome:
    """Invoke once and return the outcome. ``timeouts``: seconds for connecting, and for reading."""
    parameters: dict[str, Any] = {
        "FunctionName": function.function_name,
        "InvocationType": function.invocation_type,
        "Payload": payload,
    }
    if function.qualifier is not None:
        parameters["Qualifier"] = function.qualifier
    try:
        answer = clients.get(function.region, *timeouts).invoke(**parameters)
        body: bytes = answer["Payload"].read(_MOST_ANSWER) if "Payload" in answer else b""
    except aws.ClientError as error:
        return refused(error, clock())
    except (aws.BotoCoreError, ResponseParserError, OSError, ValueError) as error:
        error_class, message = classify(error)
        return Failure(error_class, message, timing=clock())
    return judge(function, answer, body, clock(), response_bytes)


def judge(
    function: LambdaTarget, answer: Mapping[str, Any], body: bytes, timing: Timing, response_bytes: int
) -> Outcome:
    """Return the outcome of an answer. A function that failed has no HTTP status; it counts like a 5xx."""
    kept, truncated = body[:response_bytes], len(body) > response_bytes
    status = int(answer.get("StatusCode", 0))
    function_error = answer.get("FunctionError")
    if function_error is not None:
        message = f"the function failed: {function_error}"[:200]
        return Failure("lambda_error", message, None, None, timing, kept, truncated)
    if status != (202 if function.invocation_type == "Event" else 200):
        return Failure("lambda_error", f"AWS answered {status}", status, None, timing, kept, truncated)
    own_status = _own_status(body)
    if own_status is not None and not 200 <= own_status <= 299:
        message = f"the function answered {own_status}"
        return Failure(status_class(own_status), message, own_status, None, timing, kept, truncated)
    return Delivered(own_status or status, timing, kept, truncated)


def refused(error: aws.ClientError, timing: Timing) -> Failure:
    """Return the outcome of an error that AWS answered. Its text names accounts and functions, so we leave it out."""
    details: Mapping[str, Any] = error.response
    code = str(details.get("Error", {}).get("Code", "unknown"))
    about = details.get("ResponseMetadata", {})
    status = about.get("HTTPStatusCode")
    retry_after = parse_retry_after(about.get("HTTPHeaders", {}).get("retry-after"), time.time())
    if code in _TOO_LARGE or status == 413:
        error_class = "too_large"
    elif code in _THROTTLED or status == 429:
        error_class = "lambda_throttle"
    else:
        error_class = "lambda_error"
    return Failure(error_class, f"AWS answered {code}"[:200], status, retry_after, timing)


def classify(error: BaseException) -> tuple[str, str]:
    """Return class and message of an error on our side. The message holds no URL, name or key."""
    if isinstance(error, _CREDENTIALS):
        return "lambda_error", _NO_CREDENTIALS
    for kind, error_class in _ERROR_CLASSES:
        if isinstance(error, kind):
            return error_class, _MESSAGES[error_class]
    return "lambda_error", type(error).__name__


def _own_status(body: bytes) -> int | None:
    """Return the ``statusCode`` that the function itself gave, if it did."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    status = answer.get("statusCode") if isinstance(answer, dict) else None
    if isinstance(status, str) and status.isascii() and status.isdigit() and len(status) == 3:
        return int(status)  # as an API gateway reads it
    return status if isinstance(status, int) and not isinstance(status, bool) else None
