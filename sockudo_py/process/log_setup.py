"""Sets the log up as a configuration says."""

import logging

from sockudo_py import logs
from sockudo_py.config import Config
from sockudo_py.config.printing.describe import secrets_of


def set_up_log(config: Config) -> logging.Handler:
    """Send the log of this process where ``debug`` and ``logging`` say, without the secrets of the configuration."""
    style = config.logging
    return logs.configure(
        level=style.level or ("debug" if config.debug else "info"),
        style=style.format,
        colours=style.colors_enabled,
        target=style.include_target,
        secrets=logs.Secrets(secrets_of(config)),
    )
