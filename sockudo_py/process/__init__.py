"""The process itself: garbage collector, loop lag, imports, open files."""
