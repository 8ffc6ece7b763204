"""Webhooks for the operators of a server: endpoints, the queue or the spool are in trouble."""
