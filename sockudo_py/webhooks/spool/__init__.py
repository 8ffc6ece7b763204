"""Events that the queue has not taken yet: in memory, on disk over a stop, and who fills it."""
