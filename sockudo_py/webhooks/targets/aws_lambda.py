"""Webhooks by AWS Lambda: the signed request as an API gateway would hand it to the function.

The client library is imported by the first invocation, in its thread: a server without functions never pays for it.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import orjson

from sockudo_py.compact import compact
from sockudo_py.endpoints import LambdaTarget
from sockudo_py.metrics import Metrics
from sockudo_py.webhooks.targets.base import Failure, Outcome, Request, Timing

if TYPE_CHECKING:
    from sockudo_py.webhooks.targets.aws_invoke import ClientFactory, Clients

# The library blocks: an invocation that hangs holds a thread for up to one and a half of its timeouts (connecting and
# reading are timed apart). Of a worker's 80 slots hung endpoints get at most half, so they can't hold all of these.
THREADS = 64
RESPONSE_BYTES = 4096
# Limits of AWS. Should it take less one day, we class its refusal as too_large as well.
ASYNC_BYTES = 1024 * 1024
SYNC_BYTES = 6 * 1024 * 1024


class LambdaInvoker:
    """Invokes functions, in threads of its own. Credentials come from where boto3 finds them, at each invocation.

    It never retries by itself: boto3's own retries would invoke a function twice. An invocation that reached its
    timeout may still run.

    Args:
        metrics: Where to count.
        response_bytes: Bytes of an answer that are kept.
        client_factory: Makes a client out of region, connect timeout and read timeout; boto3's unless a test says else.
    """

    name = "lambda"

    def __init__(
        self,
        *,
        metrics: Metrics | None = None,
        response_bytes: int = RESPONSE_BYTES,
        client_factory: "ClientFactory | None" = None,
    ) -> None:
        self._make = client_factory
        self._response_bytes = response_bytes
        self._clients: Clients | None = None
        self._pool = ThreadPoolExecutor(THREADS, "webhook-lambda")
        self._invocations = (metrics or Metrics()).counter(
            "webhook_lambda_invocations_total", "Invocations of AWS Lambda functions", ("type",)
        )

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
        self._invocations.add(function.invocation_type)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(request.timeout):
                return await loop.run_in_executor(self._pool, self._invoke, request, function, payload, started)
        except TimeoutError:
            timing = Timing(round((time.perf_counter() - started) * 1000))
            return Failure("timeout_read", "no answer within the request timeout", timing=timing)

    async def close(self) -> None:
        """Let go of threads and connections; an invocation under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._clients is not None:
            self._clients.close()

    def _invoke(self, request: Request, function: LambdaTarget, payload: bytes, started: float) -> Outcome:
        from sockudo_py.webhooks.targets import aws_invoke

        if self._clients is None:  # when two threads make one, only the last is kept
            self._clients = aws_invoke.Clients(self._make or aws_invoke.make_client)
        return aws_invoke.invoke(
            self._clients,
            function,
            payload,
            timeouts=(request.connect_timeout, request.timeout),
            response_bytes=self._response_bytes,
            clock=_since(started),
        )


def payload_of(request: Request, function: LambdaTarget) -> bytes:
    """Return the payload: an API gateway's event with the signed body as a string, or the body alone."""
    if function.payload_format == "pusher":
        return request.body
    gateway = {
        "version": "1.0",
        "httpMethod": "POST",
        "path": "/",
        "isBase64Encoded": False,
        "headers": dict(request.headers),
        "body": request.body.decode(),
    }
    return compact(orjson.dumps(gateway))


def _since(started: float) -> Callable[[], Timing]:
    return lambda: Timing(round((time.perf_counter() - started) * 1000))
