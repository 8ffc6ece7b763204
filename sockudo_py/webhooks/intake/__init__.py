"""Changes in, appends to the queue out."""
