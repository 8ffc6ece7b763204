"""Results as a Markdown table and as JSON."""

from dataclasses import asdict

import orjson

from benchmarks.harness import Result


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


def to_json(results: list[Result]) -> bytes:
    """Return the results as JSON."""
    return orjson.dumps([asdict(result) for result in results], option=orjson.OPT_INDENT_2)
