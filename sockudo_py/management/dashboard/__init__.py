"""The dashboard: its files, its log-in, and the stream behind its live console."""
