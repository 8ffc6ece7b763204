"""Fuzz for longer: ``make fuzz``. With atheris the changes are led by coverage, without it they are random."""

import argparse
import importlib.util
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.inputs import FOLDER, changed, seeds

FOUND = Path(__file__).parent / "found"  # inputs that failed, and what atheris learned; not in Git
LONGEST_INPUT = 30_000
ONE_INPUT = 20  # seconds after which one input counts as a hang


def main() -> None:
    """Fuzz every target for its share of the time; exit with 1 when an input failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="targets; none: all")
    parser.add_argument("--seconds", type=float, default=600, help="for all targets together (600)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the random changes")
    parser.add_argument("--random", action="store_true", help="leave atheris out")
    parser.add_argument("--input", type=Path, help="run the one target on this file and end")
    options = parser.parse_args()
    from tests.fuzz.targets import TARGETS

    names = options.targets or list(TARGETS)
    if not set(names) <= set(TARGETS):
        parser.error(f"targets are {', '.join(TARGETS)}")
    if options.input is not None:
        TARGETS[names[0]](options.input.read_bytes())
        return
    led = not options.random and importlib.util.find_spec("atheris") is not None
    share = options.seconds / len(names)
    FOUND.mkdir(exist_ok=True)
    how = "led by coverage" if led else f"random, seed {options.seed}"
    print(f"{len(names)} targets, {share:.0f} s each, {how}")
    failed = [name for name in names if not (_led(name, share) if led else _unled(name, share, options.seed))]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; the inputs are in {FOUND}")


def _unled(name: str, seconds: float, seed: int) -> bool:
    from tests.fuzz.targets import TARGETS

    choice, known, runs = random.Random(f"{seed} {name}"), seeds(name), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = changed(choice.choice(known), known, choice)
        runs += 1
        try:
            TARGETS[name](data)
        except Exception as problem:  # noqa: BLE001 - that is what is looked for
            file = FOUND / f"{name}-{runs}"
            file.write_bytes(data)
            print(f"{name}: {type(problem).__name__}: {problem}; the input is in {file}")
            return False
    print(f"{name}: {runs} inputs")
    return True


def _led(name: str, seconds: float) -> bool:
    """Run atheris in a process of its own: it ends the one that it runs in."""
    learned = FOUND / f"{name}.learned"
    learned.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.led", name]
    command += [f"-max_total_time={max(1, round(seconds))}", f"-max_len={LONGEST_INPUT}", f"-timeout={ONE_INPUT}"]
    command += [f"-artifact_prefix={FOUND / name}-", "-print_final_stats=1", str(learned), str(FOLDER / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"{name}: failed\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return False
    runs = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    print(f"{name}: {runs[0] if runs else '?'} inputs, {sum(1 for _ in learned.iterdir())} that were new to it")
    return True


if __name__ == "__main__":
    main()
