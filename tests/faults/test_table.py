"""FAULTS.md tells the truth."""

from tests.faults import table


def test_every_fault_is_shown_by_a_test() -> None:
    assert set(table.FAULTS) == set(range(1, 49))
    assert set(table.FAULTS) - set(table.found()) - set(table.ELSEWHERE) == set()
    assert set(table.found()) - set(table.FAULTS) == set(), "there is no such fault"


def test_the_tests_elsewhere_are_there() -> None:
    for places in table.ELSEWHERE.values():
        for place in places:
            file, _, name = place.partition("::")
            assert f"def {name}(" in (table.TESTS / file).read_text(), place


def test_the_page_is_up_to_date() -> None:
    assert table.PAGE.read_text() == table.page(), "run: python -m tests.faults.table"
