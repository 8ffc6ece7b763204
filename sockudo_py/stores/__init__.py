"""What lives beside the queue: each store has a folder with its contract, called ``base``, and its drivers."""
