import pytest

from sockudo_py.webhooks.endpoints.headers import header_problems, merge_headers, name_problems


def test_ordinary_headers_are_taken() -> None:
    headers = [("Authorization", "Bearer x"), ("X-Source", "sockudo"), ("X-Weird!#$", "tab\tand é")]
    assert header_problems(headers) == []


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "content-length",
        "Content-Type",
        "Content-Encoding",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Upgrade",
        "Connection",
        "Keep-Alive",
        "Expect",
        "User-Agent",
        "Cookie",
        "Forwarded",
        "Proxy-Authorization",
        "X-Forwarded-For",
        "X-Pusher-Signature",
        "x-pusher-key",
        "webhook-id",
        "Webhook-Signature",
        "X-Webhook-Signature",
        "X-RealCast-Signature",
        "X-IRISX-Timestamp",
        "X-Sockudo-Attempt",
        "X-Amz-Invocation-Type",
        "X-Goog-Anything",
    ],
)
def test_n219_a_header_that_means_something_to_us_or_to_http_is_refused(name: str) -> None:
    assert header_problems([(name, "evil")]) == [f"headers.{name}: this header is set by the server; remove it"]


@pytest.mark.parametrize("name", ["", "two words", "colon:", "line\r\nbreak", "ünï", "x" * 257])
def test_a_name_must_be_a_name(name: str) -> None:
    [problem] = header_problems([(name, "x")])
    assert "is not a header name" in problem


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "\x7f", "日本"])
def test_a_value_must_fit_on_a_line_and_is_never_repeated_in_the_complaint(value: str) -> None:
    [problem] = header_problems([("X-A", value)])
    assert problem.startswith("headers.X-A: the value")
    assert value not in problem


def test_a_value_has_a_limit() -> None:
    assert header_problems([("X-A", "v" * 4096)]) == []
    assert header_problems([("X-A", "v" * 4097)]) == ["headers.X-A: the value is longer than 4096 bytes"]


def test_headers_have_a_limit() -> None:
    assert header_problems([(f"X-{number}", "v") for number in range(32)]) == []
    assert header_problems([(f"X-{number}", "v") for number in range(33)]) == ["headers: more than 32"]


def test_the_same_header_twice_is_a_mistake() -> None:
    assert header_problems([("X-A", "1"), ("x-a", "2")]) == ["headers.x-a: given twice"]


def test_n219_ours_win_whatever_is_configured() -> None:
    merged = merge_headers([("X-Source", "s"), ("content-type", "text/plain")], [("Content-Type", "application/json")])
    assert merged == (("X-Source", "s"), ("Content-Type", "application/json"))


def test_a_custom_signature_can_not_take_the_name_of_a_header_with_a_meaning() -> None:
    assert name_problems(["X-Hub-Signature", "X-Signature-Previous"]) == []
    assert len(name_problems(["Host", "webhook-id", "no good"])) == 3
