"""What the suites of the stores use."""

from tests.conformance.stores.histories import histories as histories
from tests.support.redis_server import redis_server as redis_server
from tests.support.redis_server import unique_prefix as unique_prefix
