"""What the benchmarks print and keep: tables, targets, the rows as JSON."""

from dataclasses import replace
from pathlib import Path

from benchmarks import budgets
from benchmarks.budgets import Budget
from benchmarks.harness import LOST, Growth, Result, Step, merged
from benchmarks.machine import Interpreter
from benchmarks.tables import busy_generator, read_growths, read_results, size_table, table, write_json


def result(subject: str = "sockudo_py", cpu_us: float = 10.0, workload: str = "publish, one channel") -> Result:
    return Result(workload, subject, 1_000, 0.5, cpu_us, p50_ms=0.25, load_share=0.5)


def test_a_row_of_the_table_has_units_rate_and_cost_and_leaves_the_unmeasured_empty() -> None:
    row = table([result()]).splitlines()[-1]
    assert row == "| publish, one channel | sockudo_py | 1,000 | 2,000 | 10.00 |  | 0.25 |  |  | 50% |  |"


def test_each_row_of_the_table_has_as_many_cells_as_its_head() -> None:
    lines = table([result(), result("soketi")]).splitlines()
    assert {line.count("|") for line in lines} == {12}


def test_the_row_with_the_median_cost_stands_for_its_repetitions() -> None:
    row = merged([result(cpu_us=30), result(cpu_us=10), result(cpu_us=20)])
    assert (row.cpu_us, row.spread) == (20, 1.0)


def test_a_load_generator_that_was_the_bottleneck_is_named_with_its_row() -> None:
    busy = Result("client event", "soketi", 1, 1.0, 1.0, load_share=0.93)
    line = busy_generator([result(), busy])
    assert "client event, soketi (93%)" in line
    assert "publish" not in line


def test_without_a_busy_row_the_load_generator_is_cleared() -> None:
    assert busy_generator([result()]) == "The load generator never used 80% of its core."


def test_a_budget_over_a_peer_is_a_ratio() -> None:
    rows = {("publish, one channel", "sockudo_py"): result(), ("publish, one channel", "soketi"): result("soketi", 40)}
    budget = Budget("publish, one channel", "cpu_us", over="soketi", at_most=0.5)
    assert budget.value(rows) == 0.25
    assert budget.met(0.25)
    assert not budget.met(0.51)


def test_a_missed_target_is_counted_and_says_by_how_much() -> None:
    text, missed = budgets.targets([result(cpu_us=50), result("soketi", 200)])
    assert missed == 1
    assert "| publish, one channel: cpu_us | <= 40 | 50.00 | MISSED by 25% |" in text
    assert "| publish, one channel: cpu_us / soketi | <= 0.5 | 0.25 | met |" in text


def test_a_peer_that_did_not_do_the_work_is_no_measure() -> None:
    lost = replace(result("soketi", 800_000), note=f"0 requests; {LOST}: 30000")
    text, missed = budgets.targets([result(cpu_us=30), lost])
    assert missed == 0
    assert "| publish, one channel: cpu_us / soketi | <= 0.5 |  | not measured |" in text


def test_a_target_over_a_peer_that_did_not_run_is_not_measured_and_not_missed() -> None:
    text, missed = budgets.targets([result(cpu_us=30)])
    assert missed == 0
    assert "| publish, one channel: cpu_us / soketi | <= 0.5 |  | not measured |" in text


def test_targets_of_workloads_that_did_not_run_are_left_out() -> None:
    text, _ = budgets.targets([result()])
    assert "fan-out" not in text


def test_rows_and_their_machine_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [result(), result("soketi", 40)]
    write_json(tmp_path / "rows.json", "a machine", rows)
    assert read_results(tmp_path / "rows.json") == ("a machine", rows)


def test_steps_of_growth_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    growths = [Growth("Channels", [Step(0, 10, 1.5, 600.0), Step(10, 20, 1.6, 610.0)], per_member=True)]
    write_json(tmp_path / "sizes.json", "a machine", growths)
    assert read_growths(tmp_path / "sizes.json") == ("a machine", growths)


def test_the_table_of_sizes_has_a_row_per_step() -> None:
    growth = Growth("Channels", [Step(0, 1_000, 1.54, 600.4), Step(1_000, 2_000, 1.6, 610.0)])
    assert size_table([growth]).splitlines()[2:] == [
        "| Channels | 0 | 1,000 | 1.5 | 600 |",
        "| Channels | 1,000 | 2,000 | 1.6 | 610 |",
    ]


def test_an_interpreter_says_whether_it_was_built_with_pgo_and_lto() -> None:
    assert Interpreter("3.12.1", "'--enable-optimizations' '--with-lto'", 100).build() == "PGO and LTO build"
    assert Interpreter("3.12.1", "'--enable-optimizations'", 100).build() == "PGO build"
    assert Interpreter("3.12.1", "'--enable-shared'", 100).build() == "its CONFIG_ARGS name neither PGO nor LTO"


def test_a_quick_run_judges_no_target() -> None:
    text, missed = budgets.targets([result(cpu_us=50), result("soketi", 1)], quick=True)
    assert missed == 0
    assert "MISSED" not in text
    assert "| met |" not in text
    assert "not judged" in text
