"""The history of deliveries: attempts, payloads, statistics."""
