"""Stores of what the management API makes and changes. ``base.py`` has the contract."""
