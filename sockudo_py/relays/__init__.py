"""Drivers of what passes requests on to the node that they are for."""
