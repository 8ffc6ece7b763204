"""Webhook endpoints: their routes, their changes, and where the changes are kept."""
