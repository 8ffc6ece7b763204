"""Jobs out of the queue, and what a delivery looks like."""
