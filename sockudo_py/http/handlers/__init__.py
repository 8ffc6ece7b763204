"""What the routes do: publish, tell about channels and users, answer probes."""
