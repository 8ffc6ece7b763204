from sockudo_py.protocol import errors
from sockudo_py.protocol.errors import MESSAGES, ErrorCode


def test_every_code_is_in_pushers_range_and_has_a_message() -> None:
    assert set(MESSAGES) == set(ErrorCode)
    assert all(4000 <= code <= 4399 and MESSAGES[code] for code in ErrorCode)


def test_no_message_needs_cutting_in_a_close_frame() -> None:
    assert all(len(message.encode()) <= 123 for message in MESSAGES.values())


def test_an_error_repeats_only_the_beginning_of_a_long_text() -> None:
    assert len(errors.unsupported_event("x" * 100_000)) < 1000
    assert len(errors.auth_signature("s" * 100_000, "g" * 100_000)) < 2000
    assert errors.shorten("short") == "short"
