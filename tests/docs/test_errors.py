"""docs/errors.md has every code and every text of the protocol's errors."""

import inspect
import re

from sockudo_py.protocol import errors
from sockudo_py.protocol.errors import MESSAGES, ErrorCode
from tests.docs.pages import page, section, table

DOCUMENT = page("errors.md")
WITH_A_CODE = {"unknown_app", "watchlist_limit", "shorten"}  # 4001 and 4302; no text
OF_4009 = {errors.AUTHORIZATION_TIMED_OUT, errors.ORIGIN_REFUSED}


def messages(text: str, first: str = "message") -> list[str]:
    return [row[first].strip("`") for row in table(text, first)]


def test_every_code_stands_with_its_message() -> None:
    said = {int(row["code"]): row["message"] for row in table(section(DOCUMENT, "Codes").split("###")[0], "code")}
    assert said == {int(code): MESSAGES[code] for code in ErrorCode}


def test_every_row_says_what_to_do() -> None:
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| ") and not line.startswith("|---")]
    assert len(rows) > 40
    assert all(cell.strip() for row in rows for cell in row.strip("|").split("|"))


def test_the_texts_of_4009_are_complete() -> None:
    assert set(messages(section(DOCUMENT, "Texts of 4009"))) == OF_4009


def test_every_text_without_a_code_is_there() -> None:
    texts = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, str)} - OF_4009
    for name, function in inspect.getmembers(errors, inspect.isfunction):
        if name in WITH_A_CODE or function.__module__ != errors.__name__:
            continue
        given = [
            100 if parameter.annotation is int else parameter.name.upper()
            for parameter in inspect.signature(function).parameters.values()
        ]
        texts.add(re.sub(r"\s+", " ", function(*given)))
    assert set(messages(section(DOCUMENT, "Messages without a code"))) == texts
