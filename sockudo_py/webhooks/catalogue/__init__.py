"""Which events there are, what they hold, and what requests with them look like in each profile."""
