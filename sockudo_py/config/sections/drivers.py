"""Sections that choose a driver, and the settings of each driver."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sockudo_py.config.sections.app import AppConfig
from sockudo_py.config.sections.databases import DynamoDbConfig, MysqlConfig, PostgresConfig
from sockudo_py.config.sections.redis import RedisConnectionConfig
from sockudo_py.config.sections.server import ApiRateLimit, WebSocketRateLimit
from sockudo_py.config.sections.types import (
    Count,
    Milliseconds,
    Name,
    Positive,
    PositiveMilliseconds,
    PositiveSeconds,
    RedisUrl,
    Section,
    Text,
)

URL_OVERRIDE = "Redis for this alone; null: `database.redis`."
CLUSTER_MODE = "The server is a Redis Cluster."
MOST_PARTITIONS = 1024

AdapterDriver = Literal["local", "redis"]
QueueDriver = Literal["memory", "sqlite", "redis", "sqs", "none"]


def _no_tag(section: Any) -> Any:
    """Each key gets the hash tag of its partition in a cluster; another one before that would count instead."""
    if section.cluster_mode and "{" in section.prefix:
        raise ValueError('prefix must have no "{" in cluster_mode: keys get hash tags of their own')
    return section


class RedisAdapterConfig(Section):
    """The Redis adapter."""

    prefix: Name = Field(default="sockudo_adapter:", description="Prefix of keys and Redis channels.")
    url_override: RedisUrl | None = Field(default=None, description=URL_OVERRIDE)
    cluster_mode: bool = Field(default=False, description=CLUSTER_MODE)
    partitions: Annotated[Positive, Field(le=MOST_PARTITIONS)] = Field(
        default=64,
        description="Parts into which the state is split in a Redis Cluster; the same on all nodes. "
        "It changes only when all nodes are stopped.",
    )
    response_timeout_ms: PositiveMilliseconds = Field(
        default=2000,
        description="Milliseconds Redis has to answer; then the node reconnects.",
    )

    _tags = model_validator(mode="after")(_no_tag)


class ClusterHealthConfig(Section):
    """How nodes notice that another node died."""

    enabled: bool = Field(default=True, description="Clean up after nodes that died.")
    heartbeat_interval_ms: PositiveMilliseconds | None = Field(
        default=None, description="Milliseconds between heartbeats; null: a quarter of `node_timeout_ms`."
    )
    node_timeout_ms: PositiveMilliseconds = Field(
        default=10000, description="Milliseconds of silence after which a node is taken for dead."
    )
    cleanup_interval_ms: PositiveMilliseconds = Field(
        default=10000, description="Milliseconds between looks for dead nodes."
    )

    @model_validator(mode="after")
    def _beats_often_enough(self) -> Self:
        if self.heartbeat_interval_ms is not None and self.heartbeat_interval_ms * 3 > self.node_timeout_ms:
            raise ValueError("heartbeat_interval_ms is too long; make it a third of node_timeout_ms or less")
        return self


class AdapterConfig(Section):
    """How the nodes of a cluster share occupancy and messages."""

    driver: AdapterDriver = Field(default="local", description="`local`: this node is alone.")
    redis: RedisAdapterConfig = Field(default=RedisAdapterConfig(), description="For the driver `redis`.")
    cluster_health: ClusterHealthConfig = Field(default=ClusterHealthConfig(), description="Detection of dead nodes.")


class AppArray(Section):
    """Apps in this file."""

    apps: tuple[AppConfig, ...] = Field(default=(), description="The apps; see [an app](#an-app).")


class AppFolder(Section):
    """Apps in a folder, one JSON file each."""

    path: Text | None = Field(default=None, description="The folder; every `*.json` in it is one app.")
    reload: bool = Field(default=True, description="Watch the folder and take over changes while running.")
    poll_interval: PositiveSeconds = Field(default=1.0, description="Seconds between looks at the folder.")


class PostgresApps(Section):
    """Apps in PostgreSQL. The connection is in `database.postgres`."""

    poll_interval: PositiveSeconds = Field(
        default=1.0,
        description="Seconds between looks at the table. Where its trigger tells of changes, looks follow those, and "
        "come every 30 seconds besides.",
    )


class MysqlApps(Section):
    """Apps in MySQL or MariaDB. The connection is in `database.mysql`."""

    poll_interval: PositiveSeconds = Field(default=1.0, description="Seconds between looks at the table.")


class DynamoDbApps(Section):
    """Apps in DynamoDB. The connection is in `database.dynamodb`."""

    poll_interval: PositiveSeconds = Field(default=30.0, description="Seconds between scans of the table.")


class AppManagerConfig(Section):
    """Where the apps are."""

    driver: Literal["memory", "array", "file", "postgres", "mysql", "dynamodb"] = Field(
        default="memory",
        description="`memory` and `array`: `array.apps`; `file`: the folder `file.path`; `postgres`, `mysql` and "
        "`dynamodb`: a table, see [apps in a database](apps-databases.md).",
    )
    array: AppArray = Field(default=AppArray(), description="For the drivers `memory` and `array`.")
    file: AppFolder = Field(default=AppFolder(), description="For the driver `file`.")
    postgres: PostgresApps = Field(default=PostgresApps(), description="For the driver `postgres`.")
    mysql: MysqlApps = Field(default=MysqlApps(), description="For the driver `mysql`.")
    dynamodb: DynamoDbApps = Field(default=DynamoDbApps(), description="For the driver `dynamodb`.")

    @property
    def in_database(self) -> bool:
        """Whether the apps are rows of a table, which this configuration does not hold."""
        return self.driver in ("postgres", "mysql", "dynamodb")


class MemoryCacheConfig(Section):
    """The cache in this process."""

    max_capacity: Positive = Field(
        default=10000, description="Channels whose last event is kept; past it the oldest goes."
    )


class RedisCacheConfig(Section):
    """The cache in Redis."""

    prefix: Name = Field(default="sockudo_cache:", description="Prefix of keys.")
    url_override: RedisUrl | None = Field(default=None, description=URL_OVERRIDE)
    cluster_mode: bool = Field(default=False, description=CLUSTER_MODE)

    _tags = model_validator(mode="after")(_no_tag)


class CacheConfig(Section):
    """The store of cache channels."""

    driver: Literal["memory", "redis", "none"] = Field(
        default="memory",
        description="Where last events are kept; a cluster needs `redis`; `none`: nowhere, each join misses.",
    )
    memory: MemoryCacheConfig = Field(default=MemoryCacheConfig(), description="For the driver `memory`.")
    redis: RedisCacheConfig = Field(default=RedisCacheConfig(), description="For the driver `redis`.")


WORKERS = "Workers; in-flight requests are this times `queue.reliability.worker_prefetch`."


class MemoryQueueConfig(Section):
    """The queue in this process. What waits in it is lost when the process ends."""

    concurrency: Positive = Field(default=5, description=WORKERS)


class SqliteQueueConfig(Section):
    """The queue in a file."""

    concurrency: Positive = Field(default=5, description=WORKERS)
    path: Text = Field(default="data/queue.sqlite3", description="The file; folder and file are made when missing.")
    sync: bool = Field(
        default=False,
        description="Wait for the disk (fsync) at each step: a power cut then loses nothing. A crash never does.",
    )


class RedisQueueConfig(Section):
    """The queue in Redis."""

    concurrency: Positive = Field(default=5, description=WORKERS)
    prefix: Name | None = Field(
        default=None, description="Prefix of keys; null: `sockudo_queue:`, with `cluster_mode` `{sockudo_queue}:`."
    )
    url_override: RedisUrl | None = Field(default=None, description=URL_OVERRIDE)
    cluster_mode: bool = Field(default=False, description=CLUSTER_MODE + " The prefix then needs a hash tag.")
    response_timeout_ms: PositiveMilliseconds = Field(default=5000, description="Milliseconds Redis has to answer.")

    @property
    def key_prefix(self) -> str:
        """The prefix to use. In a cluster its hash tag keeps all keys in one slot."""
        return self.prefix or ("{sockudo_queue}:" if self.cluster_mode else "sockudo_queue:")

    @model_validator(mode="after")
    def _one_slot(self) -> Self:
        if self.cluster_mode and not ("{" in self.key_prefix and "}" in self.key_prefix.split("{", 1)[1][1:]):
            raise ValueError('prefix needs a hash tag in cluster_mode, such as "{sockudo_queue}:", or keys lie apart')
        return self


class SqsQueueConfig(Section):
    """The queue in AWS SQS."""

    concurrency: Positive = Field(default=5, description=WORKERS)
    region: Name = Field(default="us-east-1", description="AWS region.")
    queue_url_prefix: Text | None = Field(
        default=None, description="URL before queue names; null: the server asks AWS for it."
    )
    visibility_timeout: Positive = Field(
        default=30, description="Seconds that a message stays hidden after a worker took it."
    )
    endpoint_url: Text | None = Field(default=None, description="Another endpoint than AWS's, for tests.")
    max_messages: Positive = Field(default=10, le=10, description="Messages that one request takes.")
    wait_time_seconds: Count = Field(default=5, le=20, description="Seconds that a request waits for messages.")
    fifo: bool = Field(default=False, description="The queue is a FIFO queue.")
    message_group_id: Name | None = Field(default="default", description="Message group in a FIFO queue.")
    store: Literal["sqlite", "redis"] = Field(
        default="sqlite",
        description="Where the history of deliveries is, which SQS can't keep: files beside `queue.sqlite.path`, or "
        "`database.redis` under `queue.redis.prefix`.",
    )


class ReliabilityConfig(Section):
    """Leases, wake-ups and bounds of the queue."""

    lease_duration_ms: PositiveMilliseconds = Field(default=30000, description="Milliseconds that a lease lasts.")
    lease_renew_interval_ms: PositiveMilliseconds = Field(
        default=10000, description="Milliseconds between renewals of a lease."
    )
    stalled_batch_size: Positive = Field(default=100, description="Expired leases that one look takes back.")
    worker_poll_interval_ms: PositiveMilliseconds = Field(
        default=500, description="Milliseconds between looks for jobs."
    )
    worker_prefetch: Positive = Field(default=16, description="Requests of one worker at a time.")
    shutdown_timeout_ms: Milliseconds = Field(
        default=4000, description="Milliseconds that a stop waits for requests in flight."
    )
    max_crash_redeliveries: Positive = Field(
        default=5, description="Expired leases after which a job becomes a dead letter."
    )
    deduplication_ttl_ms: Milliseconds = Field(
        default=300000,
        description="Milliseconds in which an event of one id is taken once (`sqlite`, `memory`: of 200,000).",
    )
    wait_replicas: Count = Field(
        default=0, description="Redis replicas that must confirm an event before it counts as queued."
    )
    max_queue_len: Positive = Field(
        default=1000000,
        description="Jobs and events that `sqlite` or `redis` hold at most; one endpoint may have half of them.",
    )
    memory_capacity: Positive = Field(
        default=100000, description="Jobs and events, and dead letters, that `memory` holds at most."
    )

    @model_validator(mode="after")
    def _renews_in_time(self) -> Self:
        if self.lease_renew_interval_ms * 2 > self.lease_duration_ms:
            raise ValueError("lease_renew_interval_ms is too long; make it half of lease_duration_ms or less")
        return self


class QueueConfig(Section):
    """Where webhook jobs wait."""

    driver: QueueDriver = Field(
        default="sqlite",
        description="`sqlite`: a file here; `redis`, `sqs`: a service; `memory`: trials; `none`: no webhooks.",
    )
    memory: MemoryQueueConfig = Field(default=MemoryQueueConfig(), description="For the driver `memory`.")
    sqlite: SqliteQueueConfig = Field(default=SqliteQueueConfig(), description="For the driver `sqlite`.")
    redis: RedisQueueConfig = Field(default=RedisQueueConfig(), description="For the driver `redis`.")
    sqs: SqsQueueConfig = Field(default=SqsQueueConfig(), description="For the driver `sqs`.")
    reliability: ReliabilityConfig = Field(default=ReliabilityConfig(), description="For every driver.")

    @property
    def concurrency(self) -> int:
        """Workers of the driver in use."""
        match self.driver:
            case "memory" | "none":
                return self.memory.concurrency
            case "sqlite":
                return self.sqlite.concurrency
            case "redis":
                return self.redis.concurrency
            case "sqs":
                return self.sqs.concurrency


class RedisLimiterConfig(Section):
    """Rate limits shared in Redis."""

    prefix: Name = Field(default="sockudo_rl:", description="Prefix of keys.")
    url_override: RedisUrl | None = Field(default=None, description=URL_OVERRIDE)
    cluster_mode: bool = Field(default=False, description=CLUSTER_MODE)

    _tags = model_validator(mode="after")(_no_tag)


class RateLimiterConfig(Section):
    """Limits per client address. The limits of apps are kept by the same driver, also when this is off."""

    enabled: bool = Field(default=False, description="Limit what one address may do.")
    driver: Literal["memory", "redis"] = Field(default="memory", description="`redis`: all nodes count together.")
    api_rate_limit: ApiRateLimit = Field(default=ApiRateLimit(), description="HTTP API.")
    websocket_rate_limit: WebSocketRateLimit = Field(
        default=WebSocketRateLimit(), description="WebSocket connection attempts."
    )
    redis: RedisLimiterConfig = Field(default=RedisLimiterConfig(), description="For the driver `redis`.")


class DatabaseConfig(Section):
    """Services the server uses."""

    redis: RedisConnectionConfig = Field(default=RedisConnectionConfig(), description="Redis.")
    postgres: PostgresConfig = Field(default=PostgresConfig(), description="PostgreSQL, for apps.")
    mysql: MysqlConfig = Field(default=MysqlConfig(), description="MySQL or MariaDB, for apps.")
    dynamodb: DynamoDbConfig = Field(default=DynamoDbConfig(), description="DynamoDB, for apps.")
