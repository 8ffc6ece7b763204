"""Listening sockets, with TLS and without."""
