"""Apps in a table of a database: one manager for all databases, and a driver for each."""
