"""What CI runs of Autobahn's cases: sections 1 to 7 and 10. ``make autobahn`` runs the others too."""

import os

import pytest

from tests.autobahn.__main__ import BRIEF, EXPLAINED, run, why_not

ALL_OF_THEM = 247  # cases in these sections


def test_sections_1_to_7_and_10_are_as_they_should_be() -> None:
    problem = why_not()
    if problem is not None:
        give_up = pytest.fail if os.environ.get("CI", "").lower() in ("1", "true") else pytest.skip
        give_up(problem)
    outcomes = run(BRIEF)
    assert [str(each) for each in outcomes if not each.as_expected] == []
    assert len(outcomes) == ALL_OF_THEM
    explained = {each.case for each in outcomes if each.behaviour != "OK"}
    assert explained == set(EXPLAINED), "a case that is OK needs no explanation"
