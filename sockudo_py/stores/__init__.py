"""What lives beside the queue: each store has a folder with its contract (``base.py``) and its drivers."""
