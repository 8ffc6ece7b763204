"""What stands between the port and aiohttp, which serves every request that no other lane takes."""
