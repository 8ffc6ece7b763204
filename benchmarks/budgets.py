"""Targets as ratios between rows of one run (``budgets.json``), and whether they are met."""

from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.harness import LOST, Result


@dataclass(frozen=True, slots=True)
class Budget:
    """One target: ``figure`` of sockudo_py's row ``workload``, divided by that of another row if one is named."""

    workload: str
    figure: str  # a field of Result, or "rate"
    over: str | None = None  # a subject ...
    beside: str | None = None  # ... or a workload; neither: the figure itself, which only a quiet machine can judge
    at_most: float | None = None
    at_least: float | None = None

    def value(self, rows: dict[tuple[str, str], Result]) -> float | None:
        """Return what was measured; None: a row is missing, or is of a server that lost what it had to do."""
        own = rows.get((self.workload, "sockudo_py"))
        figure = None if own is None else getattr(own, self.figure)
        if figure is None or (self.over is None and self.beside is None):
            return figure
        other = rows.get((self.beside or self.workload, self.over or "sockudo_py"))
        reference = None if other is None or LOST in other.note else getattr(other, self.figure)
        return figure / reference if reference else None

    def met(self, value: float) -> bool:
        """Return whether the value is within the target."""
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)


def read() -> list[Budget]:
    """Return the targets."""
    return [Budget(**entry) for entry in orjson.loads(Path(__file__).with_name("budgets.json").read_bytes())]


def targets(results: list[Result], *, quick: bool = False) -> tuple[str, int]:
    """Return a Markdown table of each target with what was measured, and how many are missed.

    ``quick``: a tenth of the work, once, shows that everything runs. It says nothing of targets, so none is missed.
    """
    rows = {(result.workload, result.subject): result for result in results}
    measured = {result.workload for result in results}
    missed = 0
    lines = ["| target | wanted | measured | |", "|---|---:|---:|---|"]
    for budget in read():
        if budget.workload not in measured:
            continue
        wanted = f"<= {budget.at_most:g}" if budget.at_most is not None else f">= {budget.at_least:g}"
        other = budget.beside or budget.over
        what = f"{budget.workload}: {budget.figure}" + (f" / {other}" if other else "")
        value = budget.value(rows)
        if value is None:
            verdict, shown = "not measured", ""
        elif quick:
            verdict, shown = "not judged: too little work", f"{value:.2f}"
        elif budget.met(value):
            verdict, shown = "met", f"{value:.2f}"
        else:
            missed += 1
            bound = budget.at_most if budget.at_most is not None else budget.at_least
            verdict, shown = f"MISSED by {abs(value / (bound or 1) - 1):.0%}", f"{value:.2f}"
        lines.append(f"| {what} | {wanted} | {shown} | {verdict} |")
    return "\n".join(lines), missed
