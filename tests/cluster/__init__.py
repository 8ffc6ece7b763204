"""Several nodes over one real Redis, each a process of its own."""
