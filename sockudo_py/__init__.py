"""A self-hosted, Pusher-compatible realtime server with webhooks."""

__version__ = "0.2.0"
