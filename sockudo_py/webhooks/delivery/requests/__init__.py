"""From a job to signed requests. Pure."""
