"""Who may operate the server, and on which socket, as the configuration says."""

from pathlib import Path

from sockudo_py.config import Config
from sockudo_py.limits.base import RequestLimit
from sockudo_py.management.credentials.keys import Admin
from sockudo_py.wiring.key_file import KeyFile, key_file


def admins(config: Config, key_file: KeyFile | None) -> list[Admin]:
    """Return the keys of ``webhooks.admin.api_keys``, and the one of the file."""
    own = [] if key_file is None else [key_file.admin]
    return own + [
        Admin(
            bytes.fromhex(key.sha256.get_secret_value()),
            frozenset(key.apps),
            frozenset(key.scopes),
            key.name or f"key {number}",
        )
        for number, key in enumerate(config.webhooks.admin.api_keys, 1)
    ]


def admin_key_file(config: Config) -> KeyFile | None:
    """Return the key in ``webhooks.admin.key_file``, which is made when missing. Raises ConfigError."""
    path = config.webhooks.admin.key_file
    if path is None or not config.webhooks.admin.enabled:
        return None
    return key_file(Path(path), f"webhooks.admin.key_file{config.named('webhooks.admin.key_file')}")


def admin_limit(config: Config) -> RequestLimit | None:
    """Return how much each admin key may ask; None: any number."""
    limit = config.webhooks.admin.rate_limit.per_minute
    return None if limit is None else RequestLimit(limit)


def admin_socket_path(config: Config) -> Path | None:
    """Return the socket on which ``sockudo-py webhooks`` asks the running server; None: there is none."""
    if config.webhooks.admin.socket is not None:
        return Path(config.webhooks.admin.socket)
    if config.queue.driver == "sqlite":
        return Path(f"{config.queue.sqlite.path}.sock")
    return None
