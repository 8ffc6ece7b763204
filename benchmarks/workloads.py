"""The workloads, each a module of this folder, in the order in which they run."""

# Several nodes over Redis; only where they are asked for.
ON_REQUEST = ("cluster_messages", "cluster_avalanche")

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
