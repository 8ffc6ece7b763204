"""Deliveries over HTTP, by connections of our own."""
