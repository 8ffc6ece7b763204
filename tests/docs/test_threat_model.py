"""docs/threat-model.md: every claim has tests that exist; some guards have a mutation that one of these notices."""

import ast
import re
import shutil
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import code_words, page, section, table
from tests.support.debian import give_up
from tests.support.mutations import ROOT, applied, claim_of, guards, named_by

DOCUMENT = page("threat-model.md")
CLAIMS = re.findall(r"^\| `([a-z-]+)` \| ", DOCUMENT.partition("## Tests of the claims")[0], re.MULTILINE)
OF_SECTIONS = re.findall(r"[Cc]laim `([a-z-]+)`", DOCUMENT)
TESTS = {
    code_words(row["Claim"])[0]: code_words(row["Tests"])
    for row in table(section(DOCUMENT, "Tests of the claims"), "Claim")
}
# What an attacker may come through: each of them has a guard that was taken out.
DOORS = {
    "management": "other-tenants",
    "dashboard": "dashboard-forgery",
    "feeds": "feeds",
    "transports": "session-takeover",
    "cluster": "redis-messages",
}


@cache
def collected(path: str) -> set[str]:
    """Return the tests that pytest collects from a file: functions at its top whose names begin so."""
    assert path.rpartition("/")[2].startswith("test_"), f"pytest does not collect {path}"
    tree = ast.parse((ROOT / path).read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {function.name for function in functions if function.name.startswith("test_")}


def test_every_claim_is_named_once_and_has_tests() -> None:
    names = [*CLAIMS, *OF_SECTIONS]
    assert len(names) > 60
    assert [name for name, times in Counter(names).items() if times > 1] == []
    assert set(TESTS) == set(names)


def test_every_attack_is_a_claim() -> None:
    heads = re.findall(r"^(\|.*\| Attack \|.*)$", DOCUMENT, re.MULTILINE)
    assert len(heads) == 5
    assert all(head.startswith("| Claim | Attack |") for head in heads)


@pytest.mark.parametrize("claim", TESTS)
def test_its_tests_exist(claim: str) -> None:
    assert TESTS[claim]
    for node in TESTS[claim]:
        path, _, name = node.partition("::")
        assert (ROOT / path).is_file(), node
        assert name in collected(path), node


def test_guards_that_are_taken_out_belong_to_claims_and_name_their_tests() -> None:
    assert len(guards()) > 15
    for patch in guards():
        assert named_by(patch) in TESTS[claim_of(patch)], patch.name


@pytest.mark.parametrize("patch", guards(), ids=lambda patch: patch.stem)
def test_a_guard_can_still_be_taken_out(patch: Path) -> None:
    if shutil.which("git") is None:
        give_up("git applies the patches")
    assert applied(patch, ROOT, "--check") == "", "make the same mutation in the code as it is now"


@pytest.mark.parametrize("door", DOORS)
def test_every_door_has_a_guard_that_is_taken_out(door: str) -> None:
    assert DOORS[door] in {claim_of(patch) for patch in guards()}
