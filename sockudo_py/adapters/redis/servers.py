"""Which servers the adapter works with. Pure."""

from collections.abc import Mapping

OLDEST = 7


def problem_of(info: Mapping[str, str], key: str = "adapter.redis.cluster_mode") -> str | None:
    """Return why a server that is no node of a cluster can't be used, with a remedy; None when it can.

    ``key``: says that it is one.
    """
    if info.get("cluster_enabled") == "1":
        return f"it is a node of a Redis Cluster; set {key} to true"
    return problem_of_node(info)


def problem_of_node(info: Mapping[str, str]) -> str | None:
    """Return why a server can't be used, with a remedy; None when it can."""
    if "dragonfly_version" in info:
        return (
            f"it is Dragonfly {info['dragonfly_version']}, which cannot run the adapter's scripts; "
            "use Redis 7 or later, or Valkey"
        )
    version = info.get("redis_version", "0")
    if info.get("server_name") != "valkey" and int(version.split(".")[0] or 0) < OLDEST:
        return f"it is version {version}, and the adapter needs Redis {OLDEST} or later, or Valkey"
    if info.get("role") == "slave":
        return "it is a replica; name the master"
    return None


def policy_problem(policy: str) -> str | None:
    """Return what is wrong with a server's ``maxmemory-policy``."""
    if policy == "noeviction":
        return None
    return (
        f"its maxmemory-policy is {policy}, so it may throw away who is subscribed where; "
        "set it: redis-cli config set maxmemory-policy noeviction, and in redis.conf"
    )
