"""Each patch of tests/mutations puts a bug into the adapter over Redis; the directed test that it names must fail.

A patch begins with a sentence about the bug and a line ``Test: `` with the test. So nobody has to believe that the
directed tests can fail.
"""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.debian import give_up

ROOT = Path(__file__).parents[2]
PATCHES = sorted((ROOT / "tests" / "mutations").glob("*.patch"))
AT_ONCE = 2
DEADLINE = 150.0  # seconds for one run, on a busy machine
PATIENCE = 6  # seconds that a test waits for what never comes


def named_by(patch: Path) -> str:
    """Return the test that a patch names."""
    (named,) = (line for line in patch.read_text().splitlines() if line.startswith("Test: "))
    return named.removeprefix("Test: ").strip()


def copied(folder: Path) -> Path:
    """Return a folder with a copy of the package."""
    shutil.copytree(ROOT / "sockudo_py", folder / "sockudo_py", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(folder: Path, tests: list[str], patience: int) -> tuple[int | None, str]:
    """Run tests over the package in a folder; return pytest's exit code, None when it had no end, and what it said."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", f"pythonpath={folder}", *tests]
    environment = {**os.environ, "PYTHONPATH": str(folder), "TEST_PATIENCE": str(patience)}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as started:
        try:
            said, _ = started.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            return None, started.communicate()[0]
        return started.returncode, said


def problem_of(patch: Path, folder: Path) -> str | None:
    """Return what is wrong with a mutation; None: its test has noticed it."""
    copy = copied(folder)
    applied = subprocess.run(
        ["git", "apply", "-p1", str(patch)],
        cwd=copy,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)},  # it must not look for a repository around
        capture_output=True,
        text=True,
        check=False,
    )
    if applied.returncode != 0:
        return f"{patch.name} no longer applies; make the same mutation in the code as it is now: {applied.stderr}"
    code, said = run(copy, [named_by(patch)], PATIENCE)
    if code == 0:
        return f"{patch.name}: {named_by(patch)} has not noticed it"
    summary = said.strip().rpartition("\n")[2]
    if code != 1 or " failed" not in summary or " error" in summary or "was refused: " in said:
        return f"{patch.name}: the test did not fail by what it asserts (pytest ended with {code}):\n{said[-3000:]}"
    return None


def test_a_mutation_that_no_longer_applies_says_so(tmp_path: Path) -> None:
    path = "sockudo_py/adapters/redis/timers.py"
    patch = tmp_path / "old.patch"
    patch.write_text(f"Old.\n\nTest: none\n\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-was here once\n+changed\n")
    problem = problem_of(patch, tmp_path / "copy")
    assert problem is not None
    assert problem.startswith("old.patch no longer applies; make the same mutation in the code as it is now: ")
    assert "timers.py" in problem


@pytest.mark.slow
def test_each_mutation_is_noticed_by_its_directed_test(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        give_up("git applies the patches")
    assert len(PATCHES) >= 8
    with ThreadPoolExecutor(AT_ONCE) as pool:
        unpatched = pool.submit(run, copied(tmp_path / "unpatched"), sorted({named_by(one) for one in PATCHES}), 60)
        mutated = pool.map(problem_of, PATCHES, [tmp_path / one.stem for one in PATCHES])
        problems = [problem for problem in mutated if problem is not None]
        code, said = unpatched.result()
    assert code == 0, f"without a mutation the tests must pass:\n{said[-3000:]}"
    assert problems == [], "\n".join(problems)
