"""How webhooks are delivered: targets, and settings in seconds."""

from functools import partial
from ipaddress import ip_network
from typing import Any

from sockudo_py.config import Config
from sockudo_py.metrics import Metrics
from sockudo_py.process.descriptors import Descriptors
from sockudo_py.webhooks.delivery.protection.breaker import BreakerSettings
from sockudo_py.webhooks.delivery.protection.health import HealthSettings
from sockudo_py.webhooks.delivery.worker import WorkerSettings
from sockudo_py.webhooks.endpoints.guard import AddressGuard
from sockudo_py.webhooks.endpoints.validation import EndpointRules
from sockudo_py.webhooks.feeds.feeds import FeedSettings
from sockudo_py.webhooks.service import DeliverySettings
from sockudo_py.webhooks.spool.memory import SpoolLimits
from sockudo_py.webhooks.targets.aws_lambda import LambdaInvoker
from sockudo_py.webhooks.targets.base import Target
from sockudo_py.webhooks.targets.http.oauth import ANSWER_BYTES
from sockudo_py.webhooks.targets.http.target import HttpTarget
from sockudo_py.wiring.drivers.queues import spool_path
from sockudo_py.wiring.tls import webhook_context


def make_targets(config: Config, metrics: Metrics, descriptors: Descriptors | None = None) -> dict[str, Target]:
    """Return the webhook targets by name. ``descriptors`` bound the connections that are kept open."""
    security, delivery = config.webhooks.security, config.webhooks.delivery
    bounds: dict[str, Any] = {}
    if descriptors is not None:
        bounds = {"most_idle": descriptors.idle_requests, "on_shortage": partial(descriptors.short, "request")}
    denied = [ip_network(cidr) for cidr in security.denied_cidrs]

    def http(response_bytes: int, tokens: HttpTarget | None = None) -> HttpTarget:
        return HttpTarget(
            guard=AddressGuard(
                allow_private=security.allow_private_networks,
                allowed=[ip_network(cidr) for cidr in security.allowed_cidrs],
                denied=denied,
            ),
            trusted_guard=AddressGuard(allow_private=True, denied=denied),
            response_bytes=response_bytes,
            make_tls=(lambda: webhook_context(config)) if security.ca_bundle else None,
            proxy=security.egress_proxy.get_secret_value() if security.egress_proxy else None,
            tokens=tokens,
            **bounds,
        )

    if security.ca_bundle:
        webhook_context(config)  # raises what is wrong with it
    return {
        "http": http(delivery.response_body_bytes, http(ANSWER_BYTES)),
        "lambda": LambdaInvoker(metrics=metrics, response_bytes=delivery.response_body_bytes),
    }


def _feed_settings(config: Config) -> FeedSettings:
    reliability = config.queue.reliability
    room = reliability.memory_capacity if config.queue.driver == "memory" else reliability.max_queue_len
    return FeedSettings(
        lease=reliability.lease_duration_ms / 1000,
        # Redis is asked each time, and others may have added something; elsewhere it is a look into this process.
        poll=0.05 if config.queue.driver == "redis" else 0.02,
        most=max(1, room // 4),  # the queue refuses events of a lane that holds half of it
    )


def delivery_settings(config: Config, rules: EndpointRules) -> DeliverySettings:
    """Return what the configuration says about delivery, in seconds."""
    webhooks, reliability = config.webhooks, config.queue.reliability
    spool, breaker, disable = webhooks.spool, webhooks.circuit_breaker, webhooks.auto_disable
    return DeliverySettings(
        worker=WorkerSettings(
            slots=config.queue.concurrency * reliability.worker_prefetch,
            lease=reliability.lease_duration_ms / 1000,
            renew_interval=reliability.lease_renew_interval_ms / 1000,
            poll_interval=reliability.worker_poll_interval_ms / 1000,
            max_payload_bytes=webhooks.security.max_payload_bytes,
            deliveries_per_window=webhooks.delivery.global_rate,
            rate_window=webhooks.delivery.global_rate_window_ms / 1000,
        ),
        spool=SpoolLimits(spool.max_events, spool.max_bytes, spool_path(config)),
        rules=rules,
        health=HealthSettings(
            BreakerSettings(breaker.consecutive_failures, breaker.open_ms / 1000, breaker.max_open_ms / 1000)
            if breaker.enabled
            else None,
            disable.failing_for_s if disable.enabled else None,
        ),
        feeds=_feed_settings(config),
        history=webhooks.delivery.history,
        slow_start=webhooks.delivery.slow_start,
        reconnect_grace=max(webhooks.reconnect_grace_ms, webhooks.vacate_delay_ms) / 1000,
        shutdown_timeout=reliability.shutdown_timeout_ms / 1000,
        warn_dead_letters=webhooks.dlq.warn_len,
    )
