import io
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sockudo_py import logs
from sockudo_py.logs import FEW_SECRETS, HumanFormatter, JsonFormatter, Secrets, configure, hide, quoted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def restored_logging() -> Iterator[None]:
    """Undo for other tests what ``configure`` does to the loggers of the whole process."""
    root, ours = logging.getLogger(), logging.getLogger("sockudo_py")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    logging.captureWarnings(False)


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    with restored_logging():
        yield


def record(message: str = "hello", *args: object, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.getLogger("sockudo_py.node").makeRecord(
        "sockudo_py.node", level, "file.py", 1, message, args, None, extra=extra or None
    )
    made.created, made.msecs = 1_700_000_000.25, 250.0
    return made


def as_json(made: logging.LogRecord, *secrets: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(JsonFormatter(Secrets(secrets)).format(made))
    return parsed


def as_text(made: logging.LogRecord, *secrets: str, colours: bool = False) -> str:
    return HumanFormatter(Secrets(secrets), colours=colours).format(made)


def test_json_has_time_level_logger_message_and_fields() -> None:
    made = record("closed %d", 3, code=4100, socket_id="1.2", app_id="a")
    assert JsonFormatter(Secrets()).format(made) == (
        '{"time": "2023-11-14T22:13:20.250Z", "level": "info", "logger": "sockudo_py.node", "message": "closed 3", '
        '"app_id": "a", "socket_id": "1.2", "code": 4100}'
    )


def test_human_lines_say_the_same() -> None:
    made = record("closed %d", 3, code=4100, socket_id="1.2", app_id="a b")
    assert as_text(made) == '2023-11-14 22:13:20.250 INFO    node: closed 3 app_id="a b" socket_id=1.2 code=4100'


def test_the_name_of_the_logger_can_be_left_out() -> None:
    assert "node" not in HumanFormatter(Secrets(), target=False).format(record())
    assert "logger" not in json.loads(JsonFormatter(Secrets(), target=False).format(record()))


def test_text_from_outside_can_not_break_a_line_or_colour_a_terminal() -> None:
    made = record("got %s", "a\nFAKE\x1b[31m\u2028", body="x\ny\x1b")
    text = as_text(made)
    assert "\n" not in text
    assert "\x1b" not in text
    assert "\u2028" not in text
    assert JsonFormatter(Secrets()).format(made).count("\n") == 0


def test_quoted_text_is_one_json_string_of_bounded_length() -> None:
    assert quoted('a"\n\x1b') == '"a\\"\\n\\u001b"'
    assert quoted(b"\xff") == '"\\ufffd"'
    assert json.loads(quoted("x" * 1000, limit=10)) == "x" * 10 + "..."
    assert json.loads(quoted(b"x" * 100_000, limit=10)) == "x" * 10 + "..."


def test_a_message_is_of_bounded_length() -> None:
    assert len(as_json(record("x" * 100_000, body="y" * 100_000))["message"]) < 9000


@pytest.mark.parametrize("colours", [True, False])
def test_known_secrets_appear_nowhere(colours: bool) -> None:
    try:
        raise ValueError("the tops3cret one")
    except ValueError:
        failure = sys.exc_info()
    made = record("message with %s", "tops3cret", level=logging.ERROR, field="a tops3cret", nested={"k": "tops3cret"})
    made.exc_info = failure
    assert "tops3cret" not in as_text(made, "tops3cret", colours=colours)
    assert "tops3cret" not in JsonFormatter(Secrets(["tops3cret"])).format(made)
    assert "***" in as_json(made, "tops3cret")["message"]


def test_the_longest_secret_is_hidden_whole() -> None:
    assert Secrets(["secret", "secret-long"]).scrub("secret-long") == "***"


def test_short_words_are_not_hidden() -> None:
    assert Secrets(["a", ""]).scrub("a banana") == "a banana"


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("redis://user:pass@host/0", "redis://user:***@host/0"),
        ("redis://:pass@host", "redis://:***@host"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("{'authorization': 'Basic abc='}", "{'authorization': 'Basic ***'}"),
        ("GET /?auth_key=k&auth_signature=abc&x=1", "GET /?auth_key=k&auth_signature=***&x=1"),
        ("http://host:80/path", "http://host:80/path"),
        ("bearer of news", "bearer of news"),
    ],
)
def test_what_looks_like_a_secret_by_its_place_is_hidden(text: str, scrubbed: str) -> None:
    assert Secrets().scrub(text) == scrubbed


def test_the_secrets_themselves_do_not_show() -> None:
    assert repr(Secrets(["tops3cret"])) == "<Secrets: 1>"


def test_an_exception_is_told_with_its_trace() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        failure = sys.exc_info()
    made = record()
    made.exc_info = failure
    assert as_json(made)["exception"].endswith("ValueError: why")
    lines = as_text(made).splitlines()
    assert lines[-1] == "    ValueError: why"
    assert all(line.startswith("    ") for line in lines[1:])


def test_a_terminal_gets_lines_for_people_and_a_pipe_json() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    configure(stream=terminal)
    logging.getLogger("sockudo_py.x").warning("one")
    configure(stream=pipe)
    logging.getLogger("sockudo_py.x").warning("two")
    assert "\x1b[33m" in terminal.getvalue()
    assert "x: one" in terminal.getvalue()
    assert "two" not in terminal.getvalue()
    assert json.loads(pipe.getvalue())["message"] == "two"


def test_the_style_can_be_chosen() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    configure(stream=terminal, style="json")
    logging.getLogger("sockudo_py.x").warning("one")
    configure(stream=pipe, style="human")
    logging.getLogger("sockudo_py.x").warning("two")
    assert json.loads(terminal.getvalue())["message"] == "one"
    assert pipe.getvalue().endswith("WARNING x: two\n")


def test_colours_can_be_switched_off() -> None:
    terminal = Terminal()
    configure(stream=terminal, colours=False)
    logging.getLogger("sockudo_py.x").error("one")
    assert "\x1b" not in terminal.getvalue()


def test_the_level_is_for_our_own_loggers_and_libraries_stay_quiet() -> None:
    stream = io.StringIO()
    configure(stream=stream, level="debug", style="human")
    logging.getLogger("sockudo_py.x").debug("ours")
    logging.getLogger("library").info("theirs")
    logging.getLogger("library").warning("warned")
    assert [line.rsplit(": ")[-1] for line in stream.getvalue().splitlines()] == ["ours", "warned"]


def test_secrets_that_come_later_can_be_hidden_too() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    hide(["later-secret"])
    logging.getLogger("sockudo_py.x").warning("a later-secret")
    assert json.loads(stream.getvalue())["message"] == "a ***"


def test_every_level_of_the_configuration_is_known() -> None:
    from typing import get_args

    from sockudo_py.config.sections.server import LoggingConfig

    literal = get_args(LoggingConfig.model_fields["level"].annotation)[0]
    assert set(get_args(literal)) == set(logs.LEVELS)


@pytest.mark.parametrize("others", [0, 2 * FEW_SECRETS])
def test_secrets_are_hidden_in_the_same_way_whether_they_are_few_or_many(others: int) -> None:
    secrets = Secrets([f"other-{number:04}-secret" for number in range(others)])
    for value in ("abcabc", "abcabcabc", "whsec_longer", "whsec_", "short"):
        secrets.add([value])
    assert secrets.scrub("abcabcabc, abcabcab and whsec_longer, whsec_long; short abcab") == (
        "***, ***ab and ***, ***long; short abcab"
    )
    assert secrets.scrub("xabcabcabcabcx abcabc") == "x***abcx ***"
    assert secrets.scrub("abcabc") == "***"
    assert secrets.scrub("") == ""


def test_the_secrets_of_thousands_of_apps_are_taken_up_one_by_one_in_no_time() -> None:
    secrets = Secrets()
    began = time.process_time()
    for number in range(5000):
        secrets.add([f"whsec_{number:034}"])
        secrets.scrub(f"app {number}: added")
    assert time.process_time() - began < 10  # a pattern of all of them would take hours
    assert secrets.scrub(f"it is whsec_{4999:034}.") == "it is ***."
