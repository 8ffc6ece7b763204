from sockudo_py.webhooks.delivery.protection.breaker import CLOSED, HALF_OPEN, OPEN, Breakers, BreakerSettings

SETTINGS = BreakerSettings(consecutive_failures=3, open=10.0, max_open=35.0)
PATIENCE = 5.0


def opened(now: float = 0.0) -> Breakers:
    breakers = Breakers(SETTINGS)
    for token in "abc":
        breakers.failed("wh_1", token, now)
    return breakers


def test_it_opens_at_the_last_of_so_many_failures_in_a_row() -> None:
    breakers = Breakers(SETTINGS)
    assert [breakers.failed("wh_1", token, 0.0) for token in "abc"] == [0.0, 0.0, 10.0]
    assert breakers.state("wh_1") == OPEN


def test_a_success_between_failures_starts_the_count_again() -> None:
    breakers = Breakers(SETTINGS)
    breakers.failed("wh_1", "a", 0.0)
    breakers.failed("wh_1", "b", 0.0)
    assert not breakers.succeeded("wh_1")
    assert breakers.failed("wh_1", "c", 0.0) == 0.0
    assert breakers.failures("wh_1") == 1


def test_while_it_is_open_a_delivery_waits_for_what_is_left_of_the_time() -> None:
    breakers = opened()
    assert breakers.hold("wh_1", "d", 4.0, PATIENCE) == 6.0
    assert breakers.hold("wh_2", "e", 4.0, PATIENCE) == 0.0


def test_after_the_time_one_delivery_is_tried_and_the_others_wait_for_its_end() -> None:
    breakers = opened()
    assert breakers.hold("wh_1", "probe", 10.0, PATIENCE) == 0.0
    assert breakers.state("wh_1") == HALF_OPEN
    assert breakers.hold("wh_1", "other", 11.0, PATIENCE) == 4.0


def test_a_probe_that_succeeds_closes_it() -> None:
    breakers = opened()
    breakers.hold("wh_1", "probe", 10.0, PATIENCE)
    assert breakers.succeeded("wh_1")
    assert breakers.state("wh_1") == CLOSED
    assert breakers.hold("wh_1", "other", 11.0, PATIENCE) == 0.0


def test_every_probe_that_fails_doubles_the_time_up_to_the_longest() -> None:
    breakers, now, waits = opened(), 10.0, []
    for number in range(3):
        breakers.hold("wh_1", f"probe{number}", now, PATIENCE)
        waits.append(breakers.failed("wh_1", f"probe{number}", now))
        now += waits[-1]
    assert waits == [20.0, 35.0, 35.0]


def test_after_a_recovery_the_time_is_short_again() -> None:
    breakers = opened()
    breakers.hold("wh_1", "probe", 10.0, PATIENCE)
    breakers.failed("wh_1", "probe", 10.0)
    breakers.hold("wh_1", "again", 30.0, PATIENCE)
    breakers.succeeded("wh_1")
    assert [breakers.failed("wh_1", token, 40.0) for token in "xyz"] == [0.0, 0.0, 10.0]


def test_failures_of_what_was_under_way_do_not_prolong_the_time() -> None:
    breakers = opened()
    assert breakers.failed("wh_1", "late", 9.0) == 0.0
    assert breakers.hold("wh_1", "d", 9.0, PATIENCE) == 1.0
    breakers.hold("wh_1", "probe", 10.0, PATIENCE)
    assert breakers.failed("wh_1", "late too", 10.5) == 0.0
    assert breakers.state("wh_1") == HALF_OPEN


def test_a_late_success_closes_it_before_its_time() -> None:
    breakers = opened()
    assert breakers.succeeded("wh_1")
    assert breakers.hold("wh_1", "d", 1.0, PATIENCE) == 0.0


def test_a_probe_whose_end_is_never_told_is_replaced_by_another() -> None:
    breakers = opened()
    breakers.hold("wh_1", "lost", 10.0, PATIENCE)
    assert breakers.hold("wh_1", "next", 15.0, PATIENCE) == 0.0
    assert breakers.failed("wh_1", "lost", 15.5) == 0.0
    assert breakers.failed("wh_1", "next", 16.0) == 20.0
