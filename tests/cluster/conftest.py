"""A Redis for each test of the folder: nodes that a test kills leave their keys behind."""

from tests.support.redis_server import private_redis as private_redis
