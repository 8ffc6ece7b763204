"""Clients of every transport: admission, the node's contract, and the wheel that times them."""
