"""Endpoints: which there are, what they may be, what they want to hear, and how they are."""
