"""What operators ask of a running server. The routes know nothing of what carries them (``app.py``: aiohttp)."""
