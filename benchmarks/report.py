"""``python -m benchmarks.report ROWS SIZES``: the charts, and with ``--docs`` the tables of docs/performance.md too.

ROWS is what ``python -m benchmarks --json`` wrote, SIZES what ``python -m benchmarks.size --json`` wrote. A table in the
documentation lies between ``<!-- NAME -->`` and ``<!-- /NAME -->``.
"""

import argparse
import re
import sys
from pathlib import Path

from benchmarks import budgets, plots
from benchmarks.subjects import ROOT
from benchmarks.tables import busy_generator, read_growths, read_results, size_table, table

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"


def filled(page: str, parts: dict[str, str]) -> str:
    """Return the page with each part between its marks; raises ValueError when a mark is missing."""
    for name, text in parts.items():
        marks = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        page, count = marks.subn(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", page)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"the page has {count} places for {name!r}, and not one")
    return page


def main() -> int:
    """Write what was asked for; say what was written."""
    parser = argparse.ArgumentParser(prog="benchmarks.report", description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("sizes", type=Path)
    parser.add_argument("--docs", action="store_true", help="write to docs/ instead of benchmarks/results/")
    arguments = parser.parse_args()
    machine, results = read_results(arguments.rows)
    size_machine, growths = read_growths(arguments.sizes)
    folder = PAGE.parent / "img" if arguments.docs else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    charts = {
        "servers-compared.svg": plots.comparison(machine, results),
        "cost-against-size.svg": plots.cost_against_size(size_machine, growths),
    }
    for name, chart in charts.items():
        (folder / name).write_text(chart)
        print(folder / name)
    if arguments.docs:
        parts = {
            "machine": f"```\n{machine}\n```",
            "rows": f"{table(results)}\n\n{busy_generator(results)}",
            "targets": budgets.targets(results)[0],
            "sizes": size_table(growths),
        }
        PAGE.write_text(filled(PAGE.read_text(), parts))
        print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
