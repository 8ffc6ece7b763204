"""What the image installs: the licence of each package is one that we know, and the SBOM names every package."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
LISTED = ROOT / "docs" / "licences.md"
KNOWN = (
    "Apache-2.0",
    "Apache 2.0",
    "Apache License 2.0",
    "Apache Software License",
    "BSD License",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "MIT",
    "MIT License",
    "MIT-0",
    "MPL-2.0",
    "PSF-2.0",
)


def locked() -> dict[str, str]:
    """Return the versions of the packages that the image installs."""
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", LOCK.read_text(), re.MULTILINE))


def licence(package: str) -> str:
    """Return what a package says of its licence."""
    about = importlib.metadata.metadata(package).json
    said = str(about.get("license_expression") or about.get("license") or "")
    if said in ("", "Dual License"):
        classifiers = about.get("classifier") or []
        said = " OR ".join(one.split(" :: ")[-1] for one in classifiers if one.startswith("License ::"))
    return said.strip()


@pytest.mark.parametrize("package", locked())
def test_the_licence_of_a_package_is_known_and_listed(package: str) -> None:
    said = licence(package)
    parts = [part.strip(" ()") for part in re.split(r" AND | OR ", said)]
    assert parts
    assert all(part in KNOWN for part in parts), f"{package}: {said}; look at it, and add it to KNOWN if it is fine"
    assert f"| {package} | {said} |" in LISTED.read_text(), f"docs/licences.md: add | {package} | {said} |"


def test_the_sbom_names_every_package_with_its_version(tmp_path: Path) -> None:
    made = tmp_path / "sbom.json"
    command = ["requirements", str(LOCK), "--output-format", "JSON", "--output-file", str(made)]
    done = subprocess.run(
        [sys.executable, "-m", "cyclonedx_py", *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    components = json.loads(made.read_text())["components"]
    assert {one["name"]: one["version"] for one in components} == locked()
