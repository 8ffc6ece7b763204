"""What is served besides WebSockets: the general HTTP API, the management API, the dashboard, the admin socket."""
