"""What every test may use: one real server per worker process, shared by the tests that need nothing special."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import settings

from tests.support import server as servers
from tests.support.hook_receiver import HookReceiver
from tests.support.server import Server, running, server_config
from tests.support.site import Apps, Site

pytest_plugins = ["tests.support.watchdog"]

settings.register_profile("untimed", deadline=None)  # tests run in parallel: a slow example says nothing
settings.load_profile("untimed")

LOG_TAIL = 6000  # characters of a server's log shown with a failed test


@dataclass(frozen=True, slots=True)
class Shared:
    """The shared server and the apps that it has left."""

    server: Server
    apps: Apps


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """One server for this worker process; stopped, with exit code 0, when the last test is done."""
    with HookReceiver() as hooks:
        apps = Apps(hooks)
        webhooks = {"batching": {"enabled": False}, "vacate_delay_ms": 500}
        config = server_config(*apps.config, webhooks=webhooks)
        with running(config, tmp_path_factory.mktemp("shared-server")) as server:
            yield Shared(server, apps)


@pytest.fixture
def make_site(shared: Shared) -> Iterator[Callable[[str], Site]]:
    """Hand out an unused app of a kind (``tests.support.site.KINDS``) on the shared server."""
    made: list[Site] = []

    def make(kind: str) -> Site:
        app = shared.apps.take(kind)
        site = Site(shared.server, app, shared.apps.hooks, f"/{app.id}")
        made.append(site)
        return site

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make_site: Callable[[str], Site]) -> Site:
    """An app with default features."""
    return make_site("plain")


@pytest.fixture
def talk(make_site: Callable[[str], Site]) -> Site:
    """An app with client events."""
    return make_site("talk")


@pytest.fixture
def counted(make_site: Callable[[str], Site]) -> Site:
    """An app with subscription_count."""
    return make_site("counted")


@pytest.fixture
def hooked(make_site: Callable[[str], Site]) -> Site:
    """An app whose webhooks all come to ``site.hooks`` under ``<site.path>/all``, one event a request, in order."""
    return make_site("hooked")


_unfreeze = gc.unfreeze
_frozen = False  # gc.get_freeze_count() would tell, but counts one by one: 40 ms before each test


def _noticed_unfreeze() -> None:
    global _frozen
    _frozen = False
    _unfreeze()


gc.unfreeze = _noticed_unfreeze


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Keep what pytest has collected, 280,000 objects, from the collector: to look at all of it takes 250 ms.

    A server that ran in this process lets go of it when it stops (``sockudo_py.process.gc_tuner``).
    """
    global _frozen
    if not _frozen:
        gc.collect()
        gc.freeze()
        _frozen = True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show what the running servers logged with each failed test."""
    report = yield
    if report.failed:  # type: ignore[attr-defined]
        for server in servers.running_now():
            report.sections.append((f"log of the server on port {server.port}", server.log()[-LOG_TAIL:]))  # type: ignore[attr-defined]
    return report
