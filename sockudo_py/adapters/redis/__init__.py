"""The adapter that makes several nodes one server, over Redis."""
