"""Endpoints without an address: their receivers read what waits for them."""
