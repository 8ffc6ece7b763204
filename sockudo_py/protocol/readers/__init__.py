"""Reading what clients send: is it allowed, and what does it say. Pure; the session keeps the state."""
