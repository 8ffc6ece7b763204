"""Each patch of tests/mutations/guards takes a guard of docs/threat-model.md out; the test that it names must fail."""

from pathlib import Path

import pytest

from tests.support.mutations import guards, problems_of


@pytest.mark.slow
def test_each_guard_that_is_taken_out_is_missed_by_its_test(tmp_path: Path) -> None:
    problems = problems_of(guards(), tmp_path)
    assert problems == [], "\n".join(problems)
