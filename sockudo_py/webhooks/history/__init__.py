"""From attempts to the history, and from the history to new deliveries."""
