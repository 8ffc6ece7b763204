"""The workloads, each a module of this folder, in the order in which they run."""

WORKLOADS = (
    "fanout",
    "hot",
    "publish",
    "client_events",
    "connections",
    "idle",
    "xhr",
    "avalanche",
    "mass_drop",
    "ramp",
    "webhooks",
    "webhook_pairs",
    "startup",
)
