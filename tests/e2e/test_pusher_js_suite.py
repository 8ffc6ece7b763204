"""pusher-js's own integration suite, which its package carries, against this server by each transport."""

import pytest

from tests.support.node import program, scenario
from tests.support.site import Site

pytestmark = [pytest.mark.clients, pytest.mark.slow]
SPECS = 25  # at least: a suite that finds no specs passes too


@pytest.mark.parametrize("transport", ["ws", "xhr_streaming", "xhr_polling"])
async def test_the_suite_of_pusher_js_passes(talk: Site, transport: str) -> None:
    async with program("suite", scenario(talk.server, talk.app, transport=transport)) as suite:
        report = await suite.expect(on="suite", deadline=180)
        assert report["failed"] == []
        assert report["passed"] >= SPECS
