import pytest

from sockudo_py.endpoints import PRESETS, PresetName, RetryOn, RetryPolicy
from sockudo_py.webhooks.targets.base import ERROR_CLASSES, FINAL, NETWORK, Failure
from sockudo_py.webhooks.targets.retry import GiveUp, Retry, decide, parse_retry_after, retry_delay, wants_retry

DOUBLING = (1.0, 2.0, 4.0, 8.0, 16.0)
NOW = 1_700_000_000.0


def http(status: int) -> Failure:
    return Failure("http_5xx" if status >= 500 else "http_4xx", str(status), status)


def test_n216_the_waits_are_the_schedule_and_then_it_is_over() -> None:
    assert [retry_delay(attempt, DOUBLING) for attempt in range(1, 7)] == [1, 2, 4, 8, 16, None]


def test_retry_after_can_lengthen_a_wait_but_not_shorten_it() -> None:
    assert retry_delay(1, DOUBLING, 7.0) == 7.0
    assert retry_delay(4, DOUBLING, 7.0) == 8.0


def test_retry_after_can_not_park_a_job_for_longer_than_the_limit() -> None:
    assert retry_delay(1, DOUBLING, 10 * 365 * 86400.0) == 3600.0
    assert retry_delay(1, DOUBLING, 50.0, retry_after_max=20.0) == 20.0


def test_a_limit_below_the_schedule_does_not_cut_the_schedule() -> None:
    assert retry_delay(5, DOUBLING, 50.0, retry_after_max=2.0) == 16.0


@pytest.mark.parametrize(
    ("preset", "waits", "retry_on", "timeout"),
    [
        ("sockudo", [1, 2, 4, 8, 16], "non_2xx", 10),
        ("irisx", [1, 2, 4, 8, 16], "non_2xx", 10),
        ("pulse", [5, 30, 120, 600, 3600], "non_2xx", 30),
        ("realcast", [1, 5, 25], "5xx", 10),
        ("remotedevai", [1, 2, 4, 8, 16], "non_2xx", 30),
        ("pusher", [1, 2, 4, 8, 16, 32, 60, 60, 60], "non_2xx", 10),
        ("standard", [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400], "non_2xx", 20),
        ("svix", [5, 300, 1800, 7200, 18000, 36000, 36000], "non_2xx", 30),
    ],
)
def test_the_presets_are_those_of_the_documents(
    preset: PresetName, waits: list[float], retry_on: RetryOn, timeout: float
) -> None:
    row = PRESETS[preset]
    assert list(row.schedule) == waits
    assert row.retry_on == retry_on
    assert row.request_timeout == timeout
    assert row.policy().schedule == row.schedule


@pytest.mark.parametrize("retry_on", ["non_2xx", "5xx", "transient"])
@pytest.mark.parametrize("error_class", sorted(NETWORK))
def test_n216_trouble_on_the_way_is_retried_under_every_policy(error_class: str, retry_on: RetryOn) -> None:
    assert wants_retry(Failure(error_class, ""), retry_on)


@pytest.mark.parametrize("error_class", sorted(FINAL))
def test_what_can_not_get_better_is_not_retried(error_class: str) -> None:
    assert not wants_retry(Failure(error_class, ""), "non_2xx")


@pytest.mark.parametrize(
    ("status", "non_2xx", "five", "transient"),
    [
        (400, True, False, False),
        (401, True, False, False),
        (404, True, False, False),
        (410, True, False, False),
        (408, True, False, True),
        (409, True, False, True),
        (425, True, False, True),
        (429, True, False, True),
        (500, True, True, True),
        (503, True, True, True),
    ],
)
def test_which_statuses_are_retried_depends_on_the_policy(
    status: int, non_2xx: bool, five: bool, transient: bool
) -> None:
    assert wants_retry(http(status), "non_2xx") is non_2xx
    assert wants_retry(http(status), "5xx") is five
    assert wants_retry(http(status), "transient") is transient


def test_a_redirect_is_retried_only_where_every_failure_is() -> None:
    failure = Failure("redirect", "", 302)
    assert wants_retry(failure, "non_2xx")
    assert not wants_retry(failure, "5xx")
    assert not wants_retry(failure, "transient")


def test_jitter_only_lengthens_a_wait() -> None:
    policy = RetryPolicy(jitter=0.5)
    assert decide(policy, http(500), 2, 0.0, dice=0.0) == Retry(2.0)
    assert decide(policy, http(500), 2, 0.0, dice=0.75) == Retry(2.75)


def test_n218_after_the_last_attempt_it_is_given_up_with_the_class_of_the_failure() -> None:
    assert decide(RetryPolicy(), http(500), 5, 0.0, 0.0) == Retry(16.0)
    assert decide(RetryPolicy(), http(500), 6, 0.0, 0.0) == GiveUp("http_5xx")


def test_a_4xx_goes_straight_to_the_dead_letters_where_only_5xx_is_retried() -> None:
    assert decide(PRESETS["realcast"].policy(), http(404), 1, 0.0, 0.0) == GiveUp("http_4xx")


def test_retry_after_is_heeded_unless_the_endpoint_says_not_to() -> None:
    failure = Failure("http_4xx", "", 429, retry_after=30.0)
    assert decide(RetryPolicy(), failure, 1, 0.0, 0.0) == Retry(30.0)
    assert decide(RetryPolicy(honor_retry_after=False), failure, 1, 0.0, 0.0) == Retry(1.0)


def test_the_pusher_preset_ends_after_five_minutes() -> None:
    policy = PRESETS["pusher"].policy()
    assert decide(policy, http(500), 9, 235.0, 0.0) == Retry(60.0)
    assert decide(policy, http(500), 9, 245.0, 0.0) == GiveUp("expired")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("-5", None),
        ("7.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("Tue, 14 Nov 2023 22:14:00 GMT", 40.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("Tue, 99 Nov 2023 22:00:00 GMT", None),
        ("9" * 400, float("inf")),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


def test_the_error_classes_are_those_of_the_specification_and_three_more() -> None:
    listed = """dns connect tls timeout_connect timeout_read reset protocol redirect blocked_address http_4xx http_5xx
        lambda_error lambda_throttle too_large poison endpoint_deleted expired"""
    assert {*listed.split(), "endpoint_disabled", "internal", "auth"} == ERROR_CLASSES
