"""The queue in Amazon SQS. Frozen: nothing is added to it."""
