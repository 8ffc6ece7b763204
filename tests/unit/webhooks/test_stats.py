from sockudo_py.endpoints import LambdaTarget
from sockudo_py.webhooks.delivery.protection.rate import RateWindow
from sockudo_py.webhooks.stats import DeliveryStats, describe_endpoint
from tests.unit.webhooks.make import NOW, endpoint


def test_the_documented_figures() -> None:
    stats = DeliveryStats()
    for number in range(60):
        stats.attempt(NOW + number, 0.150)
    for _ in range(57):
        stats.delivered(NOW)
    for _ in range(3):
        stats.failed(NOW + 70)
    assert stats.summary(NOW + 100, 12) == {
        "webhook_success_rate": "95%",
        "average_processing_time": "150ms",
        "queue_depth": 12,
        "failed_webhooks_last_hour": 3,
    }


def test_before_anything_happened_nothing_has_failed() -> None:
    assert DeliveryStats().summary(NOW, 0) == {
        "webhook_success_rate": "100%",
        "average_processing_time": "0ms",
        "queue_depth": 0,
        "failed_webhooks_last_hour": 0,
    }


def test_what_is_older_than_an_hour_is_forgotten() -> None:
    stats = DeliveryStats()
    stats.failed(NOW)
    assert stats.summary(NOW + 59 * 60, 0)["failed_webhooks_last_hour"] == 1
    assert stats.summary(NOW + 61 * 60, 0)["failed_webhooks_last_hour"] == 0
    stats.delivered(NOW + 60 * 60)  # the same minute of the clock
    assert stats.summary(NOW + 60 * 60, 0)["failed_webhooks_last_hour"] == 0


def test_an_endpoint_is_shown_without_secrets() -> None:
    shown = describe_endpoint(
        endpoint(
            url="https://u:p@example.com:8443/hush?token=hush", headers=(("Authorization", "hush"),), name="billing"
        )
    )
    assert shown == {
        "id": 1,
        "uid": "wh_1",
        "app_id": "app-1",
        "name": "billing",
        "event_types": ["*"],
        "enabled": True,
        "profile": "pusher",
        "url": "https://example.com:8443/...",
    }


def test_a_function_is_shown_by_name() -> None:
    shown = describe_endpoint(endpoint(function=LambdaTarget("f", "us-east-1")))
    assert shown["lambda"] == {"function_name": "f", "region": "us-east-1"}
    assert "url" not in shown


def test_a_window_of_a_minute_lets_its_limit_pass_and_then_says_how_long_to_wait() -> None:
    window = RateWindow(2, 60.0)
    assert window.left(0.0) == 2
    window.take(0.0)
    window.take(10.0)
    assert window.left(20.0) == 0
    assert window.wait(20.0) == 40.0
    assert window.left(60.0) == 1
    assert window.wait(60.0) == 0.0
