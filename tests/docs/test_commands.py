"""Commands, keys, metrics and files that documents name exist."""

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from sockudo_py.cli.main import _parser
from sockudo_py.config import Config
from sockudo_py.config.problems import walk
from tests.docs.made import ROOT
from tests.docs.pages import code_words, documents

# The changelog and the decisions tell of what was; the page of settings lists the names of other servers.
PAGES = [
    path
    for path in (*documents(), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")))
    if path.parent.name != "decisions" and path.relative_to(ROOT).as_posix() != "docs/moving/settings.md"
]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
METRICS = set(re.findall(r"`(sockudo_\w+)`", (ROOT / "docs/metrics.md").read_text()))
COMMAND = re.compile(
    r"(?:^|[`/ ])sockudo-py ((?:start|check-config|print-config|webhooks|health)\b[^`#\n|>]*)", re.MULTILINE
)
FILE = re.compile(r"(?:sockudo_py|tests|docs|benchmarks|config)/[\w./-]+\.(?!php)\w+")
MODULE = re.compile(r"python3? -m ((?:tests|benchmarks)[\w.]*)")
VALUES = {"UID": "wh_1", "FILE": "config.json", "N": "1", "ID": "1"}


@pytest.fixture(params=PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def text(request: pytest.FixtureRequest) -> str:
    return Path(request.param).read_text()


def test_commands_can_be_given(text: str) -> None:
    for given in COMMAND.findall(text):
        words = [VALUES.get(word, word) for word in shlex.split(given)]
        if words == ["webhooks"]:  # the group of commands
            continue
        try:
            _parser().parse_args(words)
        except (SystemExit, argparse.ArgumentError):
            pytest.fail(f"sockudo-py {given}")


def test_targets_of_make_exist(text: str) -> None:
    code = "\n".join([*code_words(text), *re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)])
    assert set(re.findall(r"(?:^|\n)make ([a-z][a-z-]+)", code)) <= TARGETS


def test_programs_of_the_repository_exist(text: str) -> None:
    for module in MODULE.findall(text):
        place = ROOT.joinpath(*module.split("."))
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module


def test_files_of_the_repository_exist(text: str) -> None:
    for name in set(FILE.findall(" ".join(code_words(text)))):
        assert (ROOT / name).exists() or "NNNN" in name, name


def test_keys_exist(text: str) -> None:
    text = text.split("## Environment")[0]  # from there on docs/configuration.md has keys of other servers too
    unknown = {word for word in code_words(text) if _first(word) in SECTIONS and not _known(word)}
    assert not unknown


def test_metrics_are_those_of_the_list(text: str) -> None:
    named = {re.sub(r"\{.*", "", word) for word in code_words(text) if re.fullmatch(r"sockudo_\w+(\{.*\})?", word)}
    assert named - {"sockudo_py", "sockudo_queue", "sockudo_"} <= METRICS


def _keys() -> Iterator[str]:
    for place, section in walk(Config):
        for name in section.model_fields:
            yield f"{place}.{name}" if place else name


KEYS = set(_keys())
SECTIONS = {key.split(".")[0] for key in KEYS if "." in key}


def _first(word: str) -> str:
    return word.split(".")[0] if re.fullmatch(r"[a-z_]+(\.[a-z_\[\]]+)+", word) else ""


def _known(word: str) -> bool:
    return word in KEYS or f"{word}." in {key[: len(word) + 1] for key in KEYS}
