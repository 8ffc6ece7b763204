"""The requests of pusher-js's HTTP transports: read, answered, and their lanes in the table of the port."""
