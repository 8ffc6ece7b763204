"""Results as Markdown tables and as JSON, which ``benchmarks.report`` reads back."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from benchmarks.harness import Growth, Result, Step

BUSY = 0.8  # of its core: from here on the load generator itself decides about throughput and latencies


def number(value: float | None, digits: int = 2) -> str:
    """Return a figure for the table, or nothing."""
    return "" if value is None else f"{value:,.{digits}f}"


def table(results: list[Result]) -> str:
    """Return the results as a Markdown table."""
    rows = [
        "| workload | subject | units | units/s | CPU us/unit | +- | p50 ms | p99 ms | KB/conn | load CPU | |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    rows += [
        f"| {r.workload} | {r.subject} | {r.units:,} | {r.rate:,.0f} | {number(r.cpu_us)} "
        f"| {'' if r.spread is None else f'{r.spread:.0%}'} | {number(r.p50_ms)} | {number(r.p99_ms)} "
        f"| {number(r.rss_kb)} | {'' if r.load_share is None else f'{r.load_share:.0%}'} | {r.note} |"
        for r in results
    ]
    return "\n".join(rows)


def busy_generator(results: list[Result]) -> str:
    """Return one line: the rows in which the load generator was the bottleneck, or that there are none."""
    busy = [f"{r.workload}, {r.subject} ({r.load_share:.0%})" for r in results if (r.load_share or 0) >= BUSY]
    if not busy:
        return f"The load generator never used {BUSY:.0%} of its core."
    return (
        f"The load generator used {BUSY:.0%} of its core or more, so that units/s and latencies are its own, in: "
        f"{'; '.join(busy)}."
    )


def size_table(growths: list[Growth]) -> str:
    """Return the steps of growth as one Markdown table."""
    rows = ["| one more ... | from | to | CPU us | bytes |", "|---|---:|---:|---:|---:|"]
    rows += [
        f"| {growth.title} | {step.before:,} | {step.after:,} | {step.cpu_us:.1f} | {step.bytes:,.0f} |"
        for growth in growths
        for step in growth.steps
    ]
    return "\n".join(rows)


def write_json(path: Path, machine: str, rows: Sequence[Result | Growth]) -> None:
    """Write rows with the machine they were measured on."""
    document = {"machine": machine, "rows": [asdict(row) for row in rows]}
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def read_results(path: Path) -> tuple[str, list[Result]]:
    """Return machine and rows that ``python -m benchmarks`` wrote."""
    document = orjson.loads(path.read_bytes())
    return document["machine"], [Result(**row) for row in document["rows"]]


def read_growths(path: Path) -> tuple[str, list[Growth]]:
    """Return machine and rows that ``python -m benchmarks.size`` wrote."""
    document = orjson.loads(path.read_bytes())
    rows = [{**row, "steps": [Step(**step) for step in row["steps"]]} for row in document["rows"]]
    return document["machine"], [Growth(**row) for row in rows]
