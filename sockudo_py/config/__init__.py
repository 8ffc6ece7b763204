"""The configuration: its keys, its sources, and its mistakes."""

from sockudo_py.config.advice import NO_QUEUE
from sockudo_py.config.load import load, read_app, read_endpoint, read_row
from sockudo_py.config.model import Config
from sockudo_py.config.reading.normalise import app_lists, app_names
from sockudo_py.config.sections.app import AppConfig, KeyPair
from sockudo_py.config.sections.endpoint import AuthConfig, EndpointConfig, RetryOverrides
from sockudo_py.config.sections.webhooks import WebhooksConfig

__all__ = [
    "NO_QUEUE",
    "AppConfig",
    "AuthConfig",
    "Config",
    "EndpointConfig",
    "KeyPair",
    "RetryOverrides",
    "WebhooksConfig",
    "app_lists",
    "app_names",
    "load",
    "read_app",
    "read_endpoint",
    "read_row",
]
