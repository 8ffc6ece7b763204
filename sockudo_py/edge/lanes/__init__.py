"""The lanes of the port. ``lane.py`` is their contract, ``table.py`` lists them."""
