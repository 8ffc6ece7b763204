"""F22, invariant I for endpoints that answer, but slowly: simulated, with the books of a queue and time as a number."""

import pytest

from tests.faults.slow_endpoints import FAST, HARMLESS, Crowd, simulate, steady

SECONDS = 25.0


@pytest.mark.parametrize("name", HARMLESS)
def test_F22_beside_hung_and_slow_endpoints_a_healthy_one_keeps_its_p99(name: str) -> None:
    assert simulate(HARMLESS[name], seconds=SECONDS).p99 <= 2 * FAST


def test_F22_an_endpoint_of_150_ms_does_not_feel_those_that_take_0_9_s() -> None:
    assert simulate([Crowd(200, steady(0.9))], takes=0.15, rate=20, seconds=SECONDS).p99 <= 2 * 0.15
