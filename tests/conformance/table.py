"""CONFORMANCE.md: which test shows which item of the checklist. Written by ``python -m tests.conformance.table``."""

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
PAGE = TESTS / "CONFORMANCE.md"
ITEMS = range(1, 231)
FILES = ["conformance/pusher/test_*.py", "e2e/test_clients_*.py"]
_TEST = re.compile(r"^(?:async )?def test_((?:\d{3}_)+)(\w+)\(", re.MULTILINE)

SECTIONS = {
    "A. Connect": 1,
    "B. Ping/pong": 27,
    "C. Public subscribe and unsubscribe": 38,
    "D. Private": 56,
    "E. Presence": 71,
    "F. Cache channels": 95,
    "G. subscription_count": 105,
    "H. Client events": 110,
    "I. Users": 128,
    "J. Encrypted": 144,
    "K. HTTP auth": 148,
    "L. POST events and batch": 164,
    "M. GET": 185,
    "N. Webhooks": 197,
    "O. Real clients": 225,
}

_NODES = "needs several nodes and Redis; this suite runs one node"
LEFT_OUT = {91: _NODES, 92: _NODES, 141: _NODES, 222: _NODES}

_NO_PHP = "PHP and Ruby are no part of the test set-up"
NOTES = {
    6: "20 connections at a time, 500 in a row each",
    66: "that the comparison is constant-time is read in `protocol/signatures.py`, not measured",
    148: "over the function that the server calls, with the time as an argument",
    149: "over the wire with a margin for slow machines; the exact second with the time as an argument",
    184: f"Node and Python SDKs; not pusher-http-php, -ruby and Laravel's broadcast(): {_NO_PHP}",
    207: "over the function that signs",
    208: f"Node and Python SDKs; not -ruby and -php: {_NO_PHP}",
    209: "Node function and Express in Node, Python function; Laravel's controller as the same steps in Python; "
    "Lambda's receiver is the Python function",
    210: f"the Node and Python SDKs reject it; not -ruby and -php: {_NO_PHP}",
    214: f"PHP's verifySignature is not run: {_NO_PHP}",
    217: "over the functions that make body and signature, with the time as an argument; checked by the Python SDK",
    227: "the minute of 4001 passes twenty times as fast, by faster timers in the client",
    230: "the rule is checked on a session that shows every kind of frame; those clients do not run here",
}


def found() -> dict[int, list[tuple[str, str]]]:
    """Return the tests of each item, as (file below tests/, what the test says)."""
    tests: dict[int, list[tuple[str, str]]] = {}
    for pattern in FILES:
        for path in sorted(TESTS.glob(pattern)):
            name = path.relative_to(TESTS).as_posix()
            for numbers, sentence in _TEST.findall(path.read_text()):
                for number in numbers.strip("_").split("_"):
                    tests.setdefault(int(number), []).append((name, sentence.replace("_", " ")))
    return tests


def page() -> str:
    """Return the text of CONFORMANCE.md."""
    tests = found()
    shown = sum(1 for item in ITEMS if item in tests)
    lines = [
        "# Conformance",
        "",
        "Which test shows which item of the Pusher conformance checklist: 230 items, section 9 of the protocol",
        "reference. The tests run a real server process and talk to it over real sockets. The number of an item is",
        "in the name of its tests: `make test ARGS='-k test_027'`. This page is written by",
        "`python -m tests.conformance.table`, and a test keeps it complete.",
        "",
        f"{shown} of {len(ITEMS)} items are tested here, {len(LEFT_OUT)} are left out with a reason.",
    ]
    sections = {start: title for title, start in SECTIONS.items()}
    for item in ITEMS:
        if item in sections:
            lines += ["", f"## {sections[item]}", "", "| item | status | shown by |", "|---|---|---|"]
        if item in LEFT_OUT:
            lines.append(f"| {item} | left out | {LEFT_OUT[item]} |")
            continue
        by_file: dict[str, list[str]] = {}
        for name, sentence in tests.get(item, []):
            by_file.setdefault(name, []).append(sentence)
        cell = "<br>".join(f"`{name}`: {'; '.join(sentences)}" for name, sentences in by_file.items())
        status = "tested, with a limit" if item in NOTES else "tested"
        note = f"<br>Limit: {NOTES[item]}." if item in NOTES else ""
        lines.append(f"| {item} | {status if cell else 'MISSING'} | {cell}{note} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write CONFORMANCE.md."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
