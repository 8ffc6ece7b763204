"""SEEDS.md tells the truth."""

import re

import pytest

from tests import seeds_table as table

SEED_FILES = [
    "e2e/test_seeds_receivers.py",
    "e2e/test_seeds_promises.py",
    "e2e/test_seeds_operator.py",
    "e2e/test_trigger.py",
    "e2e/test_seeds_management.py",
]


def test_every_item_of_the_documents_is_listed() -> None:
    wanted = [f"{letter}{number}" for letter, count in table.COUNTS.items() for number in range(1, count + 1)]
    assert list(table.items()) == wanted


@pytest.mark.parametrize("name", table.items())
def test_every_item_has_a_test_that_exists_or_a_reason(name: str) -> None:
    item = table.items()[name]
    assert item.tests or item.left
    for file, test in item.tests:
        assert test in table.defined(file), f"tests/{file} has no {test}"


@pytest.mark.parametrize("file", SEED_FILES)
def test_a_test_that_names_an_item_is_listed_with_it(file: str) -> None:
    for test in table.defined(file):
        ids = re.match(r"test_((?:[pkrdi]\d+_)+)", test)
        for name in ids[1].strip("_").split("_") if ids else []:
            assert (file, test) in table.items()[name.upper()].tests, name


def test_the_page_is_up_to_date() -> None:
    assert table.PAGE.read_text() == table.page(), "run: python -m tests.seeds_table"
