"""A table of apps in DynamoDB, scanned as a whole. boto3 waits for answers, so it has a thread of its own."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer
from botocore import exceptions as aws
from botocore.config import Config

from sockudo_py.apps.databases.table import Look, Row, TableError, versions_of

CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 10.0  # seconds for one page
IDS = ("id", "AppId")  # what Sockudo and soketi call it

_NO_TABLE = frozenset(("ResourceNotFoundException",))
_REFUSED = frozenset(
    ("AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException")
)


class _Plain(TypeDeserializer):  # type: ignore[misc]
    """Of what AWS sends Python's values; bytes without boto3's wrapper around them."""

    def _deserialize_b(self, value: bytes) -> bytes:
        return value


class DynamoDbTable:
    """A Table over boto3.

    Args:
        region: AWS region.
        table: Name or ARN.
        endpoint_url: Another address than AWS's.
        access_key: None: as AWS's tools find it.
        secret_key: Of the access key.
        profile: A profile of AWS's configuration files.
    """

    def __init__(
        self,
        *,
        region: str,
        table: str,
        endpoint_url: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        profile: str | None = None,
    ) -> None:
        self._region = region
        self._table = table
        self._endpoint_url = endpoint_url
        self._session = {
            "aws_access_key_id": access_key,
            "aws_secret_access_key": secret_key,
            "profile_name": profile,
            "region_name": region,
        }
        self._pool: ThreadPoolExecutor | None = None
        self._client: Any = None
        self._closed = threading.Event()

    async def open(self) -> None:
        """Make the client. Raises TableError when it can't be made."""
        self._pool, self._closed = ThreadPoolExecutor(1, "apps-dynamodb"), threading.Event()
        try:
            self._client = await asyncio.get_running_loop().run_in_executor(self._pool, self._make_client)
        except (aws.BotoCoreError, ValueError) as error:
            raise self._error(error) from error

    async def look(self, known: Mapping[str, Hashable]) -> Look:
        """Return what is there. Raises TableError."""
        if self._pool is None:
            raise TableError("", "the table is not open")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, self._scan, self._client, dict(known), self._closed)
        except (aws.BotoCoreError, aws.ClientError) as error:
            raise self._error(error) from error

    async def changed(self, seconds: float) -> None:
        """Return after these seconds."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Let go of the thread, which ends after its request, and of connections."""
        self._closed.set()
        pool, self._pool, client, self._client = self._pool, None, self._client, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
        if client is not None:
            client.close()

    # -- in the thread --

    def _make_client(self) -> Any:
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 2},
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=ANSWER_TIMEOUT,
            max_pool_connections=1,
        )
        return boto3.Session(**self._session).client("dynamodb", endpoint_url=self._endpoint_url, config=config)

    def _scan(self, client: Any, known: Mapping[str, Hashable], closed: threading.Event) -> Look:
        pairs: list[tuple[str, Hashable]] = []
        rows: dict[str, Row] = {}
        plain = _Plain().deserialize
        more: dict[str, Any] = {}
        while not closed.is_set():
            # Consistent: a stale scan would turn an app back to its old state, and the next one forth again.
            page = client.scan(TableName=self._table, ConsistentRead=True, **more)
            for item in page["Items"]:
                row = {name: plain(value) for name, value in item.items()}
                row_id = str(next((row[name] for name in IDS if name in row), ""))
                version = hashlib.sha256(json.dumps(item, sort_keys=True, default=repr).encode()).digest()
                pairs.append((row_id, version))
                if known.get(row_id) != version:
                    rows[row_id] = row
            if "LastEvaluatedKey" not in page:
                break
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        versions, twice = versions_of(pairs)
        return Look(versions, rows, twice & rows.keys())

    def _error(self, error: Exception) -> TableError:
        code = error.response.get("Error", {}).get("Code", "") if isinstance(error, aws.ClientError) else ""
        where = self._endpoint_url or self._region
        if code in _NO_TABLE:
            text = f"there is no table {self._table} in {where}"
            return TableError("table_name", text, "make it with a key id of text, or name another")
        if code in _REFUSED:
            text = f"AWS refuses the scan of {self._table}: {code}"
            return TableError("aws_access_key_id", text, "allow the action dynamodb:Scan on the table")
        match error:
            case aws.NoCredentialsError() | aws.PartialCredentialsError():
                return TableError("aws_access_key_id", "there are no credentials of AWS", "set them, or use a role")
            case aws.ProfileNotFound():
                return TableError("aws_profile_name", "there is no such profile", "name another")
            case aws.ClientError():
                return TableError("", f"DynamoDB in {where}: {code or 'an error'}")
        text = f"DynamoDB in {where} can't be reached: {type(error).__name__}"
        return TableError("region", text, "check region and endpoint_url")
