"""Deliveries of webhooks, the queue and its dead letters: their routes, and how they look in answers."""
