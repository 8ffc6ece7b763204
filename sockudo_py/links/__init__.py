"""Ways to the outside that know no driver: what many ask goes together in one call."""
