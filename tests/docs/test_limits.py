"""docs/limits.md: keys have these defaults; fixed numbers, metrics, lines of the log, reasons and tests exist."""

import ast
import inspect
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.edge import newcomers
from sockudo_py.edge.context import FrontLimits
from sockudo_py.management.dashboard import login
from sockudo_py.management.deliveries import trying
from sockudo_py.management.endpoints import editing
from sockudo_py.management.live import causes, console, reasons
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.stores.endpoints import base as endpoint_stores
from sockudo_py.tap import recorder
from sockudo_py.xhr import frames, receiving, relaying, sessions
from tests.docs.pages import code_words, page, section, table

ROOT = Path(__file__).parents[2]
DOCUMENT = page("limits.md")
SECTIONS = re.findall(r"^## (.+)$", DOCUMENT, re.MULTILINE)
FRONT = FrontLimits()
FIXED = {
    "bytes of a head": FRONT.max_head_bytes,
    "connections that wait for a head, a body, the next request or a reader, each": FRONT.max_waiting,
    "handshakes of addresses that fill the spool": newcomers.CAPACITY,
    "bytes of incomplete bodies, of publishes and of other requests": FRONT.max_held_bytes,
    "sessions without a request to receive": sessions.CAPACITY,
    "such sessions of one app": sessions.APP_CAPACITY,
    "bytes that wait for all between two requests": sessions.KEPT_BYTES,
    "messages of a request to send": frames.MOST_MESSAGES,
    "bytes behind a request to receive": receiving.PIPELINED,
    "time that another node has to take a request to send": relaying.SEND_TIMEOUT,
    "endpoints of an app that the API makes": editing.MOST_OF_AN_APP,
    "tests of an endpoint a minute": trying.A_MINUTE,
    "tests of an app under way": trying.AT_ONCE,
    "logins of an address a minute": login.TRIES,
    "pages that watch the live console": console.MOST_STREAMS,
    "rows a second of a live console": console.ROWS_PER_SECOND,
    "rows that wait for a page that does not read": console.MOST_WAITING,
    "refusals that are kept of an app": recorder.MOST_REFUSALS,
    "connections of which rows are kept": recorder.MOST_FLIGHTS,
    "lines of the audit": endpoint_stores.MOST_AUDITED,
}
UNNUMBERED = {"clients that fill half of the spool", "attempts that wait for the store of the history"}
WEBSOCKET_CODES = {1009}


def rows() -> list[dict[str, str]]:
    return [row for name in SECTIONS for row in table(section(DOCUMENT, name), "limit")]


@cache
def texts() -> list[str]:
    """Every string of the server's code; literals that stand side by side are one."""
    return [
        node.value
        for path in (ROOT / "sockudo_py").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


@cache
def names_of_tests() -> set[str]:
    """The names of all tests."""
    return {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        if "node_modules" not in path.parts
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }


def default_of(key: str) -> Any:
    """Return the default of a key: config.example.json has all of them."""
    found: Any = json.loads((ROOT / "config.example.json").read_text())
    parts = key.split(".")
    if parts[0] == "apps[]":
        parts = ["app_manager", "array", *parts]
    for part in parts:
        found = found[part.removesuffix("[]")]
        if part.endswith("[]"):
            found = found[0]
    return found


def keys() -> list[tuple[str, str]]:
    cells = [row["key and default"] for row in rows()]
    return [found for cell in cells for found in re.findall(r"`([\w.\[\]]+)`: ([\w.]+)", cell)]


def test_every_key_exists_and_has_this_default() -> None:
    assert len(keys()) > 50
    for key, said in keys():
        assert json.loads(said) == default_of(key), key


def test_every_limit_has_a_key_or_a_number_that_the_code_has() -> None:
    found = set()
    for row in rows():
        cell = row["key and default"]
        if cell.startswith("fixed"):
            found.add(row["limit"])
            number = cell.removeprefix("fixed").removeprefix(":").replace(" ", "")
            assert row["limit"] in UNNUMBERED if not number else int(number) == FIXED[row["limit"]], row
        else:
            assert code_words(cell), row
    assert found == {*FIXED, *UNNUMBERED}


def test_every_code_is_one_that_clients_are_told() -> None:
    codes = {int(found) for row in rows() for found in re.findall(r"\b[14][0-9]{3}\b", row["told"])}
    assert codes
    assert codes <= {*map(int, ErrorCode), *WEBSOCKET_CODES}
    assert all(row["told"] for row in rows())


def test_every_metric_is_among_the_metrics() -> None:
    metrics = page("metrics.md")
    named = {name for row in rows() for name in code_words(row["metric"])}
    assert len(named) > 20
    assert [name for name in sorted(named) if f"| `sockudo_{name}` |" not in metrics] == []


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["limit"])
def test_its_line_reason_and_test_exist(row: dict[str, str]) -> None:
    for line in code_words(row["log"]):
        assert any(line in text for text in texts()), f"no line of the log has {line}"
    told = inspect.getsource(causes) + inspect.getsource(reasons)
    for reason in code_words(row["reason"]):
        assert f'"{reason}"' in told, f"there is no reason {reason}"
    named = code_words(row["test"])
    assert named
    assert set(named) <= names_of_tests(), "no such test"


def test_limits_by_address_are_off() -> None:
    assert default_of("rate_limiter.enabled") is False
    assert default_of("rate_limiter.api_rate_limit.max_requests") is None
