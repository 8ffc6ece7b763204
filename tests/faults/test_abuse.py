"""Sessions that are left, heads and bodies that dribble, uploads without end: memory is bounded, others are served, and
each is counted. Here with a twentieth of the sessions of ``make abuse``."""

from pathlib import Path

import pytest

from sockudo_py.xhr import sessions
from tests.faults.abuse import MIB, Figures, measure
from tests.faults.abusers import ENDLESS, SLOW

pytestmark = pytest.mark.slow
SESSIONS = 5_500  # more than one app may leave
ABUSED = SESSIONS + ENDLESS  # those behind whose streams something came are left, too
P99 = 1.0  # seconds
MEMORY = 64 * MIB  # 3.4 KB for each session that is left, and the bodies that are on their way
TRIES = 3  # others have the processor now and then
SLOW_ONES = ("slow heads", "slow bodies to send", "slow publishes", "slow chunks")
UPLOADS = ("endless bodies to send", "endless chunks to send", "endless publishes", "endless chunks")
DURATION = 'sockudo_http_request_duration_seconds_count{status="'
REFUSED = 'sockudo_http_refused_total{status="'
LATE = 'sockudo_connections_timed_out_total{waiting="'


def assert_others_feel_little(figures: Figures) -> None:
    assert figures.missing == 0, str(figures)
    assert all(len(waits) > 20 for waits in figures.waits.values()), str(figures)
    assert figures.peak - figures.before < MEMORY, str(figures)
    assert figures.after - figures.before < MEMORY, str(figures)


async def test_abuse_of_the_port_and_the_transports_is_bounded_and_counted_and_costs_others_little(
    tmp_path: Path,
) -> None:
    for number in range(TRIES):
        figures = await measure(SESSIONS, tmp_path / str(number))
        assert_others_feel_little(figures)
        if figures.p99 < P99:
            break
    assert figures.p99 < P99, str(figures)
    done, metrics = figures.done, figures.metrics
    assert done == {
        "xhr_streaming": SESSIONS // 2,
        "xhr": SESSIONS // 2,
        **dict.fromkeys(SLOW_ONES, SLOW),
        **dict.fromkeys((*UPLOADS, "bytes behind a stream"), ENDLESS),
    }, "each ended as it should"
    assert figures.ended("evicted") + figures.ended("timeout") == ABUSED
    assert figures.ended("evicted") >= SESSIONS - sessions.APP_CAPACITY
    assert metrics[f'{LATE}head"}}'] == SLOW
    assert metrics[f'{LATE}body"}}'] == 2 * SLOW  # to send, and publishes
    assert metrics[f'{REFUSED}408"}}'] == 3 * SLOW
    assert metrics[f'{DURATION}408"}}'] == SLOW  # those in chunks are aiohttp's
    assert metrics[f'{REFUSED}413"}}'] == 2 * ENDLESS
    assert metrics[f'{DURATION}413"}}'] == ENDLESS
    assert metrics[f'{REFUSED}411"}}'] == ENDLESS


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (
            {"rate_limiter": {"enabled": True, "websocket_rate_limit": {"max_requests": 503, "window_seconds": 600}}},
            "4100",
        ),
        ({"app": {"max_connections": 503}}, "4004"),
    ],
    ids=["of an address", "of an app"],
)
async def test_past_a_limit_strangers_get_no_more_sessions_and_those_who_are_here_stay(
    tmp_path: Path, settings: dict[str, dict[str, object]], code: str
) -> None:
    figures = await measure(1_000, tmp_path, http_transport={"session_timeout": 3}, **settings)
    assert_others_feel_little(figures)
    opened = sum(figures.done.get(kind, 0) for kind in ("xhr", "xhr_streaming"))
    assert 500 - ENDLESS <= opened <= 500  # three are the bystanders'
    assert opened + figures.done["refused"] == 1_000
    assert figures.metrics[f'sockudo_connections_refused_total{{code="{code}"}}'] >= 500
