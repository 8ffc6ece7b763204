"""WebSocket handshakes: read, answered, and their lane in the table of the port."""
