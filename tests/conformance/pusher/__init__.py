"""The checklist of the protocol reference, item by item, over real sockets against a real server process."""
