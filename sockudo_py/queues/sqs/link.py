"""The way to SQS: boto3 in threads of its own, and its errors as ours."""

import asyncio
import functools
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore import exceptions as aws
from botocore.config import Config
from botocore.parsers import ResponseParserError

from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.metrics import Metrics
from sockudo_py.queues.clock import QueueClock
from sockudo_py.queues.sqs.messages import BATCH, MOST_BYTES, Draft, Message, chunks, parse, tens

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 10.0  # seconds, besides what a long poll waits
RETENTION = 14 * 86_400  # seconds; the longest that SQS keeps a message
# A message that was received so often, and never answered, ends among the dead ones without our doing.
BACKSTOP_RECEIVES = 1000

_MISSING = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
_GONE = frozenset({"ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"})
_UNFIT = frozenset({"InvalidMessageContents", "BatchRequestTooLong", "InvalidParameterValue", "UnsupportedOperation"})


class SqsLink:
    """Calls of SQS. Raises ``Unavailable`` for every failure that may pass.

    Args:
        region: AWS region.
        endpoint_url: Another address than AWS's.
        longest_wait: Seconds of the longest poll.
        max_messages: How many are received at once, 1 to 10.
        threads: Calls at a time.
        metrics: Where to count.
        clock: The queue's.
    """

    def __init__(
        self,
        *,
        region: str,
        endpoint_url: str | None = None,
        longest_wait: float = 20.0,
        max_messages: int = BATCH,
        threads: int = 16,
        metrics: Metrics | None = None,
        clock: QueueClock | None = None,
    ) -> None:
        self._region = region
        self._endpoint_url = endpoint_url
        self._max_messages = max_messages
        self._config = Config(
            retries={"total_max_attempts": 1},
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=longest_wait + ANSWER_TIMEOUT,
            max_pool_connections=threads,
        )
        self._pool = ThreadPoolExecutor(threads, "webhook-sqs")
        self._client: Any = None
        self._clock = clock or QueueClock()
        self._errors = (metrics or Metrics()).counter(
            "webhook_sqs_errors_total", "Calls of SQS that failed", ("operation",)
        )

    async def open(self) -> None:
        """Make the client. Raises SockudoError when it can't be made."""
        loop = asyncio.get_running_loop()
        try:
            self._client = await loop.run_in_executor(self._pool, self._make_client)
        except (aws.BotoCoreError, ValueError) as error:
            raise SockudoError(f"queue.sqs: no client can be made: {error}") from error

    async def close(self) -> None:
        """Let go of threads and connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    async def queue_url(self, name: str, *, dead_letters: str | None = None) -> str:
        """Return the URL of a queue, which is made when it is missing. ``dead_letters``: URL of its dead letter queue.

        Raises SockudoError when there is none and it can't be made.
        """
        try:
            url: str = (await self._raw("get_queue_url", QueueName=name))["QueueUrl"]
            return url
        except aws.ClientError as error:
            if _code(error) not in _MISSING:
                raise _refusal(name, error) from error
        attributes = {"MessageRetentionPeriod": str(RETENTION)}
        try:
            if dead_letters is not None:
                arn = (await self._raw("get_queue_attributes", QueueUrl=dead_letters, AttributeNames=["QueueArn"]))[
                    "Attributes"
                ]["QueueArn"]
                policy = f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"{BACKSTOP_RECEIVES}"}}'
                attributes["RedrivePolicy"] = policy
            made: str = (await self._raw("create_queue", QueueName=name, Attributes=attributes))["QueueUrl"]
        except aws.ClientError as error:
            raise _refusal(name, error) from error
        log.info("made an SQS queue", extra={"queue": name})
        return made

    async def counts(self, url: str) -> tuple[int, int]:
        """Return how many messages of a queue can be received, and how many are delayed, as SQS estimates it."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"]
        found = (await self.call("get_queue_attributes", QueueUrl=url, AttributeNames=names)).get("Attributes", {})
        visible, delayed = (int(found.get(name, 0)) for name in names)
        return visible, delayed

    async def receive(self, url: str, *, hide: int, wait: int = 0) -> list[Message]:
        """Return some messages, hidden from others for ``hide`` seconds; wait up to ``wait`` seconds for one."""
        hidden_until = self._clock.steady() + hide * 1000  # counted from before the call: rather too short
        answer = await self.call(
            "receive_message",
            QueueUrl=url,
            MaxNumberOfMessages=self._max_messages,
            VisibilityTimeout=hide,
            WaitTimeSeconds=wait,
            AttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            MessageAttributeNames=["All"],
        )
        return [parse(raw, hidden_until) for raw in answer.get("Messages", ())]

    async def send(self, url: str, drafts: Sequence[Draft], sent: Callable[[Draft], None] | None = None) -> list[Draft]:
        """Send messages; ``sent`` gets each that SQS has taken. Returns the messages that SQS will never take.

        Raises Unavailable when some may not be there; all that are known to be have been told to ``sent``.
        """
        unfit = [draft for draft in drafts if draft.size > MOST_BYTES]
        fit = [draft for draft in drafts if draft.size <= MOST_BYTES]
        done = await asyncio.gather(*(self._send(url, one, sent) for one in chunks(fit)), return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException):
                raise result
            unfit += result
        return unfit

    async def delete(self, url: str, handles: Sequence[str]) -> list[bool | Unavailable]:
        """Delete messages. Returns for each: True; False when the handle is no longer good; or what went wrong."""
        return await self._batch("delete_message_batch", url, [{"ReceiptHandle": handle} for handle in handles])

    async def hide(self, url: str, handles: Sequence[str], seconds: int) -> list[bool | Unavailable]:
        """Hide received messages for ``seconds`` from now; 0: give them back. Answers as ``delete`` does."""
        entries = [{"ReceiptHandle": handle, "VisibilityTimeout": seconds} for handle in handles]
        return await self._batch("change_message_visibility_batch", url, entries)

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation of the client by its name there. Raises Unavailable."""
        try:
            return await self._raw(operation, **parameters)
        except aws.ClientError as error:
            self._errors.add(operation)
            raise Unavailable(f"SQS answered {operation} with {_code(error)}") from error

    async def _raw(self, operation: str, **parameters: Any) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        call = functools.partial(getattr(self._client, operation), **parameters)
        try:
            answer: dict[str, Any] = await loop.run_in_executor(self._pool, call)
            return answer
        except (aws.NoCredentialsError, aws.PartialCredentialsError) as error:
            self._errors.add(operation)
            raise Unavailable("there are no AWS credentials for SQS: set AWS_ACCESS_KEY_ID, or give a role") from error
        except (aws.BotoCoreError, ResponseParserError, OSError) as error:
            self._errors.add(operation)
            raise Unavailable(f"SQS did not answer {operation}: {type(error).__name__}") from error

    async def _send(self, url: str, drafts: list[Draft], sent: Callable[[Draft], None] | None) -> list[Draft]:
        now = self._clock.wall()
        entries = [draft.entry(str(at), now) for at, draft in enumerate(drafts)]
        try:
            answer = await self._raw("send_message_batch", QueueUrl=url, Entries=entries)
        except aws.ClientError as error:
            self._errors.add("send_message_batch")
            if _code(error) not in _UNFIT:
                raise Unavailable(f"SQS answered send_message_batch with {_code(error)}") from error
            if len(drafts) == 1:
                return drafts
            return [unfit for draft in drafts for unfit in await self._send(url, [draft], sent)]
        failed = {int(one["Id"]): str(one.get("Code", "")) for one in answer.get("Failed", ())}
        for at, draft in enumerate(drafts):
            if at not in failed and sent is not None:
                sent(draft)
        later = [code for code in failed.values() if code not in _UNFIT]
        if later:
            self._errors.add("send_message_batch")
            raise Unavailable(f"SQS refused {len(later)} of {len(drafts)} messages: {later[0]}")
        return [drafts[at] for at in failed]

    async def _batch(self, operation: str, url: str, entries: Sequence[dict[str, Any]]) -> list[bool | Unavailable]:
        results: list[bool | Unavailable] = []
        for ten in tens(entries):
            numbered = [{"Id": str(at), **entry} for at, entry in enumerate(ten)]
            try:
                answer = await self.call(operation, QueueUrl=url, Entries=numbered)
            except Unavailable as error:
                results += [error] * len(ten)
                continue
            failed = {int(one["Id"]): str(one.get("Code", "")) for one in answer.get("Failed", ())}
            for at in range(len(ten)):
                code = failed.get(at)
                fate = code is None or (False if code.rpartition(".")[2] in _GONE else Unavailable(f"SQS: {code}"))
                results.append(fate)
        return results

    def _make_client(self) -> Any:
        return boto3.session.Session().client(
            "sqs", region_name=self._region, endpoint_url=self._endpoint_url, config=self._config
        )


def _code(error: aws.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _refusal(name: str, error: aws.ClientError) -> SockudoError:
    return SockudoError(
        f"queue.sqs: the queue {name} can't be used: AWS answered {_code(error)}; "
        "make it, or allow sqs:GetQueueUrl, CreateQueue, GetQueueAttributes, SendMessage, ReceiveMessage, "
        "DeleteMessage and ChangeMessageVisibility"
    )
