"""Where Redis is: one server, a master that sentinels know, or a cluster."""

import re
from typing import Annotated, Any

from pydantic import Field, model_validator

from sockudo_py.config.sections.types import UNSHOWN, Count, Name, Port, RedisHost, RedisUrl, Secret, Section, Text

_HOST_AND_PORT = re.compile(r"(?:rediss?://)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:/@\s]+))(?::(?P<port>\d{1,5}))?/?")


def _split(value: Any) -> Any:
    """Return the host and the port of a text such as ``10.0.0.1:26379``."""
    if not isinstance(value, str):
        return value
    found = _HOST_AND_PORT.fullmatch(value.strip())
    if found is None:
        raise ValueError('must be {"host": "...", "port": ...} or "host:port"')
    return {key: text for key, text in (("host", found["v6"] or found["host"]), ("port", found["port"])) if text}


class SentinelConfig(Section):
    """A sentinel; also as text, `"host:port"`."""

    host: RedisHost = Field(default="127.0.0.1", description="Host name or address.")
    port: Port = Field(default=26379, description="Port.")

    _text = model_validator(mode="before")(_split)


class RedisNodeConfig(Section):
    """A node of a Redis Cluster; also as text, `"host:port"`."""

    host: RedisHost = Field(default="127.0.0.1", description="Host name or address.")
    port: Port = Field(default=6379, description="Port.")

    _text = model_validator(mode="before")(_split)


class RedisTlsConfig(Section):
    """TLS of a connection to Redis."""

    enabled: bool = Field(default=False, description="Use TLS.")
    accept_invalid_certs: bool = Field(
        default=False, description="Don't check the certificate. A man in the middle can then change everything."
    )
    ca_path: Text | None = Field(default=None, description="File of the CA; null: those of the system.")
    client_cert_path: Text | None = Field(default=None, description="File of a client certificate.")
    client_key_path: Text | None = Field(default=None, description="File of its key.")


class RedisClusterConfig(Section):
    """A Redis Cluster, for drivers with `cluster_mode`."""

    nodes: Annotated[tuple[RedisNodeConfig, ...], UNSHOWN] = Field(  # as sentinels
        default=(),
        description="Some of its nodes; the others are found. Empty: `url`, or `host` and `port`.",
    )
    username: Name | None = Field(default=None, description="ACL user; null: `database.redis.username`.")
    password: Secret | None = Field(default=None, description="Password; null: `database.redis.password`.")
    use_tls: bool = Field(default=False, description="Use TLS for `nodes`.")


class RedisConnectionConfig(Section):
    """The Redis that every driver `redis` uses unless it has a `url_override`."""

    url: RedisUrl | None = Field(default=None, description="URL (`rediss://` for TLS); it replaces the keys below.")
    host: RedisHost = Field(default="127.0.0.1", description="Host name or address.")
    port: Port = Field(default=6379, description="Port.")
    db: Count = Field(default=0, description="Database number.")
    username: Name | None = Field(default=None, description="ACL user.")
    password: Secret | None = Field(default=None, description="Password.")
    sentinels: Annotated[tuple[SentinelConfig, ...], UNSHOWN] = Field(  # may be URLs by mistake, with passwords
        default=(), description="Sentinels that know the master; they replace `host` and `port`."
    )
    name: Name = Field(default="mymaster", description="The name of the master among the sentinels.")
    sentinel_username: Name | None = Field(default=None, description="ACL user of the sentinels.")
    sentinel_password: Secret | None = Field(default=None, description="Password of the sentinels.")
    sentinel_tls: RedisTlsConfig = Field(default=RedisTlsConfig(), description="TLS to the sentinels.")
    master_tls: RedisTlsConfig = Field(default=RedisTlsConfig(), description="TLS to the master of the sentinels.")
    cluster: RedisClusterConfig = Field(default=RedisClusterConfig(), description="A Redis Cluster.")
