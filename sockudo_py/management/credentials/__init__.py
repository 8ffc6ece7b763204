"""Who asks: admin keys, and sessions of the dashboard."""
