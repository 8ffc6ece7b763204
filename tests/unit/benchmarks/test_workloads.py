"""The programs that measure, as far as a test can look at them without measuring."""

import importlib
import inspect
from pathlib import Path

import pytest

import benchmarks.__main__ as program
from benchmarks import budgets, compare


@pytest.mark.parametrize("name", [*program.WORKLOADS, *program.ON_REQUEST])
def test_each_workload_runs_over_a_starter_and_a_scale(name: str) -> None:
    run = importlib.import_module(f"benchmarks.{name}").run
    assert list(inspect.signature(run).parameters) == ["starter", "scale"]


def test_two_revisions_are_compared_on_every_workload() -> None:
    assert compare.WORKLOADS == program.WORKLOADS


def test_every_target_names_a_row_that_the_readme_explains() -> None:
    readme = Path(program.__file__).with_name("README.md").read_text()
    for budget in budgets.read():
        title = budget.workload.split(",")[0].split(" 1 x ")[0].split(" at ")[0].removesuffix(" 100 x 10")
        assert title in readme, budget.workload
