"""The machine and the versions that a table was made with; figures without them say little."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# Runs in the interpreter that is asked about, so it may import nothing but the standard library.
_PROBE = """
import json, platform, sysconfig, time
best = float("inf")
for _ in range(200):
    begun = time.perf_counter()
    text = {number: str(number) for number in range(2000)}
    best = min(best, time.perf_counter() - begun)
print(json.dumps([platform.python_version(), sysconfig.get_config_var("CONFIG_ARGS") or "", best * 1e6]))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python: its version, the arguments it was configured with, microseconds of a fixed piece of work in it."""

    version: str
    config_args: str
    loop_us: float

    def __str__(self) -> str:
        return f"Python {self.version}, {self.build()}: 2000 turns of a plain loop take {self.loop_us:.0f} us in it"

    def build(self) -> str:
        """Return whether it says that it was built with profile-guided and link-time optimization (PGO, LTO).

        Some distributions build with both and keep it out of what the interpreter knows of itself (Debian does).
        """
        named = {"PGO": "--enable-optimizations", "LTO": "--with-lto"}
        found = [name for name, argument in named.items() if argument in self.config_args]
        return f"{' and '.join(found)} build" if found else "its CONFIG_ARGS name neither PGO nor LTO"


def interpreter(python: str = sys.executable) -> Interpreter:
    """Return what the interpreter says of itself; raises CalledProcessError where it doesn't run."""
    done = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True, check=True)
    version, config_args, loop_us = json.loads(done.stdout)
    return Interpreter(version, config_args, loop_us)


def environment(python: str = sys.executable) -> str:
    """Return machine and versions in three lines; ``python`` is what runs sockudo_py."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    sockudo = ""
    if os.environ.get("SOCKUDO"):
        sockudo = subprocess.run(
            [os.environ["SOCKUDO"], "--version"], capture_output=True, text=True, check=False
        ).stdout
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release()}\n"
        f"{interpreter(python)}\n"
        f"Node {node or 'none'}, Sockudo {sockudo.strip().rpartition(' ')[2] or 'none'}"
    )
