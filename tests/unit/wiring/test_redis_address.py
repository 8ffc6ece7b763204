from typing import Any

import pytest
from redis.asyncio.connection import parse_url

from sockudo_py.config import Config
from sockudo_py.errors import ConfigError
from sockudo_py.links.redis.address import RedisAddress, Sentinels, Tls
from sockudo_py.wiring.drivers.redis_address import address_of_driver, keys_of_driver


def config(redis: dict[str, Any], **sections: Any) -> Config:
    return Config.model_validate({"database": {"redis": redis}, **sections})


SENTINELS = {
    "sentinels": [{"host": "a"}, "b:5", {"host": "::1", "port": 6}],
    "name": "main",
    "username": "u",
    "password": "p@",
    "db": 2,
    "sentinel_username": "su",
    "sentinel_password": "sp",
}


def test_sentinels_know_where_the_master_is() -> None:
    hosts = (("a", 26379), ("b", 5), ("::1", 6))
    expected = RedisAddress("redis://u:p%40@a:26379/2", Sentinels(hosts, "main", "su", "sp"))
    for user in ("adapter", "cache", "queue", "rate_limiter"):
        assert address_of_driver(config(SENTINELS), user) == expected
    assert "database.redis.sentinels" in keys_of_driver(config(SENTINELS), "queue")


def test_tls_is_for_the_master_and_for_sentinels_apart() -> None:
    tls = {"enabled": True, "accept_invalid_certs": True, "ca_path": "/ca.pem"}
    address = address_of_driver(
        config({"sentinels": ["a"], "sentinel_tls": tls, "master_tls": {"enabled": True}}), "queue"
    )
    assert address.sentinels is not None
    assert address.sentinels.tls == Tls(verify=False, ca_path="/ca.pem")
    assert address.url == "rediss://a:26379/0?ssl_cert_reqs=required&ssl_check_hostname=True"


def test_a_driver_with_an_address_of_its_own_asks_no_sentinel() -> None:
    own = config(SENTINELS, cache={"redis": {"url_override": "redis://own/1"}})
    assert address_of_driver(own, "cache") == RedisAddress("redis://own/1")
    assert keys_of_driver(own, "cache") == "cache.redis.url_override"


def test_a_cluster_is_found_by_its_nodes_or_by_the_one_that_is_named() -> None:
    queue = {"redis": {"cluster_mode": True}}
    nodes = {"cluster": {"nodes": ["a:1", "b"], "password": "cp", "use_tls": True}, "password": "p", "db": 3}
    address = address_of_driver(config(nodes, queue=queue), "queue")
    assert address.nodes == (("a", 1), ("b", 6379))
    assert address.url.startswith("rediss://:cp@a:1/0?")
    assert address_of_driver(config(nodes), "queue").nodes == ()
    alone = address_of_driver(config({"url": "redis://:p@c:7/0"}, queue=queue), "queue")
    assert alone == RedisAddress("redis://:p@c:7/0", nodes=(("c", 7),))


@pytest.mark.parametrize(
    ("redis", "text"),
    [(SENTINELS, "a cluster has no sentinels"), ({"url": "unix:///r.sock"}, "is a Unix socket")],
)
def test_what_is_no_cluster_is_refused(redis: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        address_of_driver(config(redis, queue={"redis": {"cluster_mode": True}}), "queue")


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("redis://a", 0),
        ("redis://a:1/", 0),
        ("rediss://u:p@a:1/12", 12),
        ("redis://a/3?db=4&x=5", 4),
        ("unix:///run/redis.sock?db=2", 2),
        ("unix:///5", 0),
        ("redis://a/five", 0),
    ],
)
def test_the_database_is_read_as_redis_py_reads_it(url: str, database: int) -> None:
    assert RedisAddress(url).database == database
    assert parse_url(url).get("db", 0) == database
