"""CONFORMANCE.md tells the truth."""

from tests.conformance import table


def test_every_item_is_tested_or_left_out_with_a_reason() -> None:
    tested = set(table.found())
    assert set(table.ITEMS) - tested - set(table.LEFT_OUT) == set()
    assert tested - set(table.ITEMS) == set(), "there is no such item"


def test_nothing_is_both_tested_and_left_out() -> None:
    assert set(table.found()) & set(table.LEFT_OUT) == set()


def test_the_page_is_up_to_date() -> None:
    assert table.PAGE.read_text() == table.page(), "run: python -m tests.conformance.table"
