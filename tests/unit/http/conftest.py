import pytest

from tests.unit.http.support import World


@pytest.fixture
def world() -> World:
    return World()
