"""The events there are: what they hold, and an example request in each profile."""
