"""What the image is made of: locks with hashes that fit the project's bounds, and nothing else."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WANTED = {
    "requirements.lock": PROJECT["project"]["dependencies"]
    + [package for extra in PROJECT["project"]["optional-dependencies"].values() for package in extra],
    "requirements-build.lock": PROJECT["build-system"]["requires"],
}
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(lock: str) -> dict[str, tuple[Requirement, list[str]]]:
    """Return what a lock holds by name: the requirement and its hashes."""
    lines = [line for line in (ROOT / lock).read_text().splitlines() if not line.startswith("#")]
    found: dict[str, tuple[Requirement, list[str]]] = {}
    for entry in "\n".join(lines).replace("\\\n", " ").splitlines():
        requirement, *hashes = re.split(r"\s+(?=--)", entry.strip())
        parsed = Requirement(requirement)
        found[canonicalize_name(parsed.name)] = (parsed, hashes)
    return found


@pytest.mark.parametrize("lock", WANTED)
def test_a_lock_fits_the_bounds_of_pyproject(lock: str) -> None:
    locked = entries(lock)
    for text in WANTED[lock]:
        wanted = Requirement(text)
        requirement, _ = locked[canonicalize_name(wanted.name)]
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        assert wanted.specifier.contains(pin.version), f"{lock}: {requirement} is not {wanted}; run make lock"


@pytest.mark.parametrize("lock", WANTED)
def test_a_lock_has_one_version_and_hashes_for_each_package(lock: str) -> None:
    for requirement, hashes in entries(lock).values():
        assert [pin.operator for pin in requirement.specifier] == ["=="]
        assert requirement.url is None
        assert hashes
        assert all(HASH.fullmatch(each) for each in hashes)


@pytest.mark.parametrize("lock", WANTED)
def test_a_lock_names_no_index_and_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"--(index|extra-index|find-links|trusted-host)", text)


def dockerfile() -> str:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")


def test_the_image_installs_only_what_has_a_hash_in_a_lock() -> None:
    commands = re.findall(r"pip (install|wheel) ([^&\n]*)", dockerfile())
    assert len(commands) == 4
    for _, options in commands:
        from_lock = "--require-hashes" in options and "--only-binary :all:" in options
        assert from_lock or "--no-deps" in options
    assert all("--no-build-isolation" in options for command, options in commands if command == "wheel")


def test_the_base_image_has_a_full_version_in_its_tag_and_is_named_once() -> None:
    text = dockerfile()
    assert re.search(r"^ARG BASE=python:3\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?$", text, re.MULTILINE)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${BASE}", "${BASE}"]


def test_lower_bounds_keep_out_versions_with_published_holes() -> None:
    # The last version of each with a hole that was published by November 2026.
    holes = {
        "aiohttp": "3.14.3",
        "asyncmy": "0.2.10",
        "httptools": "0.7.1",
        "orjson": "3.11.5",
        "pydantic": "2.14.1",
        "redis": "7.3.0",
        "urllib3": "2.6.3",
        "uvloop": "0.19.0",
        "websockets": "9.0.2",
    }
    wanted = {each.name: each for each in map(Requirement, WANTED["requirements.lock"])}
    assert [name for name, version in holes.items() if wanted[name].specifier.contains(version)] == []
