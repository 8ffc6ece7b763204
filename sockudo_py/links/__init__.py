"""Access to services that drivers of several families share: Redis, a SQLite file; and many calls in one."""
