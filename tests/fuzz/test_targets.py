"""Each target on its corpus, and for a moment on what random changes make of it. ``make fuzz`` goes on for longer."""

import random
import time

import pytest

from sockudo_py.http.auth import is_signed_as_usual
from tests.fuzz import targets
from tests.fuzz.inputs import FOLDER, changed, seeds
from tests.fuzz.targets import TARGETS

SECONDS = 1.5  # for each target, besides its corpus


@pytest.fixture(autouse=True)
def _only_own_errors() -> None:
    targets.errors.forget()


def test_each_target_has_its_corpus() -> None:
    assert {folder.name for folder in FOLDER.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_holds(name: str) -> None:
    for data in seeds(name):
        TARGETS[name](data)
    TARGETS[name](b"")


def test_the_usual_inputs_get_as_far_as_they_should(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nothing but refusals would be fuzzed."""
    (_, joined) = targets.channel_data((FOLDER / "channel_data" / "usual").read_bytes())[0]
    assert b"subscription_succeeded" in joined
    (_, signed_in) = targets.user_data((FOLDER / "user_data" / "usual").read_bytes())[0]
    assert b"signin_success" in signed_in
    found: list[bool] = []
    monkeypatch.setattr(targets, "is_signed_as_usual", lambda *asked: found.append(is_signed_as_usual(*asked)))
    targets.signatures((FOLDER / "signatures" / "usual").read_bytes())
    assert found == [False, True]


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs_hold(name: str) -> None:
    number = random.randrange(2**32)
    choice = random.Random(number)
    known = seeds(name)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        data = changed(choice.choice(known), known, choice)
        try:
            TARGETS[name](data)
        except Exception as problem:
            problem.add_note(f"target {name}, seed {number}, input {data!r}")
            raise
