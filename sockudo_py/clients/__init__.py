"""Clients, whatever their transport: who is admitted, what they ask of the node, and the wheel that times them."""
