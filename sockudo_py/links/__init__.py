"""Ways to stores outside, for drivers of any kind: Redis, a SQLite file, many questions in one call."""
