"""Where the Redis of each driver is, by the configuration."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from sockudo_py.config import Config
from sockudo_py.config.model import RedisUser
from sockudo_py.config.sections.redis import RedisTlsConfig
from sockudo_py.errors import ConfigError
from sockudo_py.links.redis.address import Host, RedisAddress, Sentinels, Tls

_SENTINEL_KEYS: Final = (
    "database.redis.sentinels, database.redis.name, database.redis.sentinel_username and "
    "database.redis.sentinel_password"
)
_CLUSTER_KEYS: Final = "database.redis.cluster.nodes"


def address_of_driver(config: Config, user: RedisUser) -> RedisAddress:
    """Return where the Redis of a driver is. It may hold passwords. Raises ConfigError for what can't be together."""
    redis = config.database.redis
    if in_cluster(config, user):
        return _cluster(config, user)
    if config.redis_override(user) is not None or not redis.sentinels:
        return RedisAddress(config.redis_url(user))
    hosts = tuple((one.host, one.port) for one in redis.sentinels)
    sentinels = Sentinels(
        hosts,
        redis.name,
        redis.sentinel_username,
        redis.sentinel_password.get_secret_value() if redis.sentinel_password else None,
        _tls(redis.sentinel_tls),
    )
    password = redis.password.get_secret_value() if redis.password else None
    return RedisAddress(_url(hosts[0], redis.username, password, redis.db, _tls(redis.master_tls)), sentinels)


def address_problems(config: Config) -> list[str]:
    """Return what is wrong with the addresses of the drivers in use."""
    drivers: Mapping[RedisUser, str] = {
        "adapter": config.adapter.driver,
        "cache": config.cache.driver,
        "queue": config.queue.driver,
        "rate_limiter": config.rate_limiter.driver,
    }
    problems: list[str] = []
    for user, driver in drivers.items():
        if driver == "redis":
            try:
                address_of_driver(config, user)
            except ConfigError as error:
                problems += error.problems
    return problems


def keys_of_driver(config: Config, user: RedisUser) -> str:
    """Return the keys that say where the Redis of a driver is, for messages."""
    override = f"{user}.redis.url_override"
    if config.redis_override(user) is not None:
        return override
    if in_cluster(config, user) and config.database.redis.cluster.nodes:
        return f"{_CLUSTER_KEYS} (or {override})"
    if config.database.redis.sentinels:
        return _SENTINEL_KEYS
    return f"database.redis (or {override})"


def in_cluster(config: Config, user: RedisUser) -> bool:
    """Return whether a driver uses a Redis Cluster."""
    sections: Mapping[RedisUser, bool] = {
        "adapter": config.adapter.redis.cluster_mode,
        "cache": config.cache.redis.cluster_mode,
        "queue": config.queue.redis.cluster_mode,
        "rate_limiter": config.rate_limiter.redis.cluster_mode,
    }
    return sections[user]


def _cluster(config: Config, user: RedisUser) -> RedisAddress:
    redis, cluster = config.database.redis, config.database.redis.cluster
    if config.redis_override(user) is None and cluster.nodes:
        nodes = tuple((node.host, node.port) for node in cluster.nodes)
        secret = cluster.password or redis.password
        password = secret.get_secret_value() if secret else None
        tls = Tls() if cluster.use_tls else None
        return RedisAddress(_url(nodes[0], cluster.username or redis.username, password, 0, tls), nodes=nodes)
    if config.redis_override(user) is None and redis.sentinels:
        text = "true, and database.redis.sentinels is given: a cluster has no sentinels"
        remedy = "name nodes in database.redis.cluster.nodes, or write false"
        raise ConfigError([config.problem(f"{user}.redis.cluster_mode", text, remedy)])
    url = config.redis_url(user)
    parts = urlsplit(url)
    if parts.hostname is None:
        text = "true, and the address is a Unix socket: the nodes of a cluster have hosts and ports"
        raise ConfigError(
            [config.problem(f"{user}.redis.cluster_mode", text, "give the URL of a node, or write false")]
        )
    return RedisAddress(url, nodes=((parts.hostname, parts.port or 6379),))


def _tls(settings: RedisTlsConfig) -> Tls | None:
    if not settings.enabled:
        return None
    return Tls(not settings.accept_invalid_certs, settings.ca_path, settings.client_cert_path, settings.client_key_path)


def _url(host: Host, username: str | None, password: str | None, db: int, tls: Tls | None) -> str:
    """Return a URL with the login and the options of a connection."""
    login = f"{quote(username or '', safe='')}:{quote(password or '', safe='')}@" if username or password else ""
    name = f"[{host[0]}]" if ":" in host[0] else host[0]
    options = {} if tls is None else {key: str(value) for key, value in tls.options().items() if value is not None}
    options.pop("ssl", None)
    scheme = "redis" if tls is None else "rediss"
    return f"{scheme}://{login}{name}:{host[1]}/{db}" + (f"?{urlencode(options)}" if options else "")
