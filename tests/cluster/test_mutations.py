"""Each patch of tests/mutations puts a bug into the adapter over Redis; the directed test that it names must fail."""

import shutil
from pathlib import Path

import pytest

from tests.support.debian import give_up
from tests.support.mutations import ROOT, applied, problem_of, problems_of

PATCHES = sorted((ROOT / "tests" / "mutations").glob("*.patch"))


def test_a_mutation_that_no_longer_applies_says_so(tmp_path: Path) -> None:
    path = "sockudo_py/adapters/redis/timers.py"
    patch = tmp_path / "old.patch"
    patch.write_text(f"Old.\n\nTest: none\n\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-was here once\n+changed\n")
    problem = problem_of(patch, tmp_path / "copy")
    assert problem is not None
    assert problem.startswith("old.patch no longer applies; make the same mutation in the code as it is now: ")
    assert "timers.py" in problem


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_mutation_still_applies(patch: Path) -> None:
    if shutil.which("git") is None:
        give_up("git applies the patches")
    assert applied(patch, ROOT, "--check") == "", "make the same mutation in the code as it is now"


@pytest.mark.slow
def test_each_mutation_is_noticed_by_its_directed_test(tmp_path: Path) -> None:
    assert len(PATCHES) >= 8
    problems = problems_of(PATCHES, tmp_path)
    assert problems == [], "\n".join(problems)
