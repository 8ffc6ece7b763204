"""Handlers of the routes: publish, answer questions about channels and users, answer probes."""
