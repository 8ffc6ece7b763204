"""What `make` would do (`make -n`), and what `make clean` does, in a copy of the folder."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MADE = [
    ".venv",
    "site",
    ".mypy_cache",
    ".hypothesis",
    "benchmarks/results",
    "tests/e2e/js/node_modules",
    "build",
    "dist",
]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="this machine has no make")


def make(folder: Path, *words: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=True, env=env)
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_run_installs_what_the_server_needs_and_nothing_else(folder: Path) -> None:
    commands = make(folder, "-n", "run")
    assert "install" in commands
    assert "--group dev" not in commands
    assert "[aws]" not in commands
    assert "--quiet" not in commands, "progress is shown"
    assert "'[aws]'" in make(folder, "-n", "run", "EXTRAS=aws")


@pytest.mark.parametrize("target", ["test", "check", "soak", "bench", "docs"])
def test_other_targets_install_the_rest(folder: Path, target: str) -> None:
    commands = make(folder, "-n", target)
    assert "--editable '.[aws,postgres,mysql,schemas,ed25519]' --group dev" in commands
    assert "--quiet" not in commands.partition("--group dev")[0]


def test_what_is_installed_is_not_installed_again(folder: Path) -> None:
    (folder / ".venv").mkdir()
    for stamp in (".runtime", ".stamp"):
        (folder / ".venv" / stamp).touch()
    assert "install" not in make(folder, "-n", "run")
    assert "install" not in make(folder, "-n", "test")


def test_clean_removes_all_that_was_made_and_keeps_webhooks_that_wait(folder: Path) -> None:
    for name in (*MADE, "sockudo_py/cli/__pycache__", "sockudo_py.egg-info", "data"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").touch()
    (folder / "sockudo_py/cli/main.py").touch()
    assert "data/ holds webhooks" in make(folder, "clean")
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["Makefile", "data/file", "pyproject.toml", "sockudo_py/cli/main.py"]
    make(folder, "clean", "DATA=1")
    assert not (folder / "data").exists()
