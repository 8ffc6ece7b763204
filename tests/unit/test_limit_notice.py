import logging

import pytest

from sockudo_py.limits.notice import LimitNotice


def test_refusals_are_one_line_a_minute_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    now = [5.0]
    notice = LimitNotice("connections", "rate_limiter.x", clock=lambda: now[0])
    with caplog.at_level(logging.WARNING):
        for now[0] in (5.0, 6.0, 30.0, 64.9):
            notice.add("192.0.2.1")
        assert [record.args for record in caplog.records] == [(1, "connections", "rate_limiter.x")]
        for now[0] in (65.0, 66.0):
            notice.add("192.0.2.2")
        now[0] = 130.0
        notice.add("192.0.2.3")
    first, second, third = caplog.records
    assert second.getMessage().startswith("limit by address: 4 connections refused")
    assert "raise rate_limiter.x" in second.getMessage()
    assert "trusted_proxies" in second.getMessage()
    assert [vars(record)["address"] for record in (first, second, third)] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert third.getMessage().startswith("limit by address: 2 ")
