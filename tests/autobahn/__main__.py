"""Autobahn's cases against the WebSocket shell of this project: ``make autobahn`` (README.md beside this file)."""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.autobahn.echo import PATH

BRIEF = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")  # some seconds
PLAIN = (*BRIEF, "9.*")
COMPRESSED = ("12.*", "13.*")

# Cases that are not simply OK, each explained in README.md: what else they may come to.
EXPLAINED = {
    "6.4.3": "NON-STRICT",
    "6.4.4": "NON-STRICT",
    "7.1.6": "INFORMATIONAL",
    "7.13.1": "INFORMATIONAL",
    "7.13.2": "INFORMATIONAL",
}

_FOUND_BY = "pip install kosoku"


@dataclass(frozen=True)
class Outcome:
    """What one case came to."""

    case: str
    behaviour: str
    closing: str
    result: str
    milliseconds: int

    @property
    def as_expected(self) -> bool:
        """Whether it is OK, or what README.md says of it."""
        if self.behaviour == self.closing == "OK":
            return True
        explained = EXPLAINED.get(self.case)
        return self.behaviour == explained and self.closing in {"OK", explained}

    def __str__(self) -> str:
        return f"{self.case}: {self.behaviour}, closing {self.closing}: {self.result}"


def why_not() -> str | None:
    """Return why the cases can't be had here; None: they can."""
    try:
        import kosoku  # noqa: F401
    except ImportError as missing:
        return f"Autobahn's cases come with kosoku, which can't be imported ({missing}): {_FOUND_BY}"
    return None


def run(cases: Sequence[str], side_by_side: int = 2) -> list[Outcome]:
    """Return what the cases came to, each in a connection of its own to a server of its own process."""
    with _echo() as port:
        return asyncio.run(_run(f"ws://127.0.0.1:{port}{PATH}", cases, side_by_side))


async def _run(url: str, cases: Sequence[str], side_by_side: int) -> list[Outcome]:
    from kosoku import FailureError, run_fuzzingclient

    try:
        results = await run_fuzzingclient(url, list(cases), concurrency=side_by_side)
        failed = []
    except FailureError as failure:
        results, failed = [], failure.results
    return [
        Outcome(each.case_id, each.behavior.value, each.behavior_close.value, each.result, each.duration)
        for each in results or failed
    ]


@contextmanager
def _echo() -> Iterator[int]:
    """Run the echo server; give its port."""
    command = [sys.executable, "-m", "tests.autobahn.echo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"the echo server ended at its start: exit status {process.wait()}")
            yield int(line)
        finally:
            process.terminate()


def main() -> None:
    """Run what was asked for and say what it came to; exit with 1 when a case is not as expected."""
    parser = argparse.ArgumentParser(prog="python -m tests.autobahn", description=__doc__)
    parser.add_argument("cases", nargs="*", help='such as 6.4.3 or "9.*"; none: all sections')
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write what each case came to")
    parser.add_argument("--side-by-side", type=int, default=2, metavar="N", help="cases at the same time (2)")
    options = parser.parse_args()
    problem = why_not()
    if problem is not None:
        raise SystemExit(problem)
    begun = time.monotonic()
    outcomes = run(options.cases or [*PLAIN, *COMPRESSED], options.side_by_side)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(each) for each in outcomes], indent=1) + "\n")
    for section, found in _by_section(outcomes).items():
        print(f"section {section}: " + ", ".join(f"{count} {name}" for name, count in sorted(found.items())))
    unexpected = [each for each in outcomes if not each.as_expected]
    print(f"{len(outcomes)} cases in {time.monotonic() - begun:.0f} s, {len(unexpected)} not as expected")
    if unexpected or not outcomes:
        raise SystemExit("\n".join(str(each) for each in unexpected) or "no case has that name")


def _by_section(outcomes: Sequence[Outcome]) -> dict[str, Counter[str]]:
    sections: dict[str, Counter[str]] = {}
    for each in outcomes:
        sections.setdefault(each.case.split(".")[0], Counter())[each.behaviour] += 1
    return sections


if __name__ == "__main__":
    main()
