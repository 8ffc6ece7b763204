"""Endpoints: the registry, their validation, their filters, and their health."""
