"""Ways to Redis: one server, a master that sentinels know, or a cluster; calls, streams, scripts."""
