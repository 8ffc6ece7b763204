"""What operators see live: the console, refusals with their causes, the inspector, the figures of the last hour."""
