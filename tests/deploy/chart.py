"""Renders the Helm chart to ``deploy/kubernetes``: ``make chart``.

helm is the one on PATH, else it is built from its Go module, once, into ``.venv/bin``; that takes Go and some minutes.
The first line of each rendered file has a digest of the chart's files, so that a test sees without helm that a change
of the chart has not been rendered.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "chart"
RENDERED: Final = ROOT / "deploy" / "kubernetes"
HELM: Final = "helm.sh/helm/v3/cmd/helm@v3.18.6"
BUILD_DEADLINE: Final = 1800.0  # seconds; three minutes of two cores
FILES: Final = {"one-node.yaml": (), "cluster.yaml": ("values-cluster.yaml",)}  # rendered file: files with values


class NoHelm(Exception):
    """There is no helm, and it can't be built."""


def helm() -> str:
    """Return the path of helm. Raises NoHelm."""
    found = shutil.which("helm")
    if found:
        return found
    folder = Path(sys.prefix) / "bin"
    built = folder / "helm"
    with (folder / ".helm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if built.exists():
            return str(built)
        if shutil.which("go") is None:
            raise NoHelm("there is no helm on PATH, and no Go to build it")
        sys.stderr.write(f"building {HELM}, which takes some minutes ...\n")
        try:
            done = subprocess.run(
                ["go", "install", HELM],
                env={**os.environ, "GOBIN": str(folder)},
                capture_output=True,
                text=True,
                check=False,
                timeout=BUILD_DEADLINE,
            )
        except subprocess.TimeoutExpired:
            raise NoHelm(f"building helm took over {BUILD_DEADLINE:.0f} s") from None
        if done.returncode:
            raise NoHelm(f"helm can't be built: {done.stderr[-500:]}")
    return str(built)


def render(program: str, values: tuple[str, ...] = ()) -> str:
    """Return the chart's manifests for a release called ``sockudo``."""
    files = [part for name in values for part in ("--values", str(CHART / name))]
    command = [program, "template", "sockudo", str(CHART), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return f"# Made by `make chart` from deploy/chart; digest {digest()}\n{done.stdout}"


def digest() -> str:
    """Return a digest of all files of the chart."""
    found = hashlib.sha256()
    for path in sorted(path for path in CHART.rglob("*") if path.is_file()):
        found.update(f"{path.relative_to(CHART)}\n".encode() + path.read_bytes())
    return found.hexdigest()[:16]


if __name__ == "__main__":
    try:
        program = helm()
    except NoHelm as problem:
        sys.exit(str(problem))
    for name, values in FILES.items():
        (RENDERED / name).write_text(render(program, values))
        sys.stdout.write(f"{RENDERED / name}\n")
