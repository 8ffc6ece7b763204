"""Apps in a table of a database: what is alike for all databases, and a driver for each."""
