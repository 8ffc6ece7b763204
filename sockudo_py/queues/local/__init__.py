"""The queue in this process's memory, and the book of lanes that other drivers keep their jobs in."""
