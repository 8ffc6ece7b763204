"""Mutations of the package: patches that put a bug into a copy of it, each with the test that must notice.

A patch begins with a sentence about the bug and a line ``Test: `` with the test. So nobody has to believe that the
tests can fail.
"""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.debian import give_up

ROOT = Path(__file__).parents[2]
AT_ONCE = 2
DEADLINE = 150.0  # seconds for one run, on a busy machine
PATIENCE = 6  # seconds that a test waits for what never comes


def named_by(patch: Path) -> str:
    """Return the test that a patch names."""
    (named,) = (line for line in patch.read_text().splitlines() if line.startswith("Test: "))
    return named.removeprefix("Test: ").strip()


def claim_of(patch: Path) -> str:
    """Return the claim of docs/threat-model.md whose guard a patch takes out."""
    (named,) = (line for line in patch.read_text().splitlines() if line.startswith("Claim: "))
    return named.removeprefix("Claim: ").strip()


def guards() -> list[Path]:
    """Return the patches that take guards out."""
    return sorted((ROOT / "tests" / "mutations" / "guards").glob("*.patch"))


def copied(folder: Path) -> Path:
    """Return a folder with a copy of the package."""
    shutil.copytree(ROOT / "sockudo_py", folder / "sockudo_py", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(folder: Path, tests: list[str], patience: int, deadline: float = DEADLINE) -> tuple[int | None, str]:
    """Run tests over the package in a folder; return pytest's exit code, None when it had no end, and what it said."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", f"pythonpath={folder}", *tests]
    paths = {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}  # servers that a test starts have the package, too
    environment = {**os.environ, **paths, "TEST_PATIENCE": str(patience)}
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
            said, _ = started.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            return None, started.communicate()[0]
        return started.returncode, said


def applied(patch: Path, folder: Path, *options: str) -> str:
    """Apply a patch to the package in a folder; return why git can't, else nothing."""
    done = subprocess.run(
        ["git", "apply", "-p1", *options, str(patch)],
        cwd=folder,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)},  # it must not look for a repository around
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode else ""


def problem_of(patch: Path, folder: Path) -> str | None:
    """Return what is wrong with a mutation; None: its test has noticed it."""
    copy = copied(folder)
    refused = applied(patch, copy)
    if refused:
        return f"{patch.name} no longer applies; make the same mutation in the code as it is now: {refused}"
    code, said = run(copy, [named_by(patch)], PATIENCE)
    if code == 0:
        return f"{patch.name}: {named_by(patch)} has not noticed it"
    summary = said.strip().rpartition("\n")[2]
    if code != 1 or " failed" not in summary or " error" in summary or "was refused: " in said:
        return f"{patch.name}: the test did not fail by what it asserts (pytest ended with {code}):\n{said[-3000:]}"
    return None


def problems_of(patches: list[Path], folder: Path) -> list[str]:
    """Return what is wrong with mutations; without any of them, all of their tests must pass."""
    if shutil.which("git") is None:
        give_up("git applies the patches")
    named = sorted({named_by(one) for one in patches})
    with ThreadPoolExecutor(AT_ONCE) as pool:
        unpatched = pool.submit(run, copied(folder / "unpatched"), named, 60, 4 * DEADLINE)
        mutated = pool.map(problem_of, patches, [folder / one.stem for one in patches])
        problems = [problem for problem in mutated if problem is not None]
        code, said = unpatched.result()
    if code != 0:
        problems.append(f"without a mutation the tests must pass:\n{said[-3000:]}")
    return problems
