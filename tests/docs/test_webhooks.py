"""The tables of the webhooks reference say what the code does."""

import json
from typing import get_args

import pytest

from sockudo_py.config.sections.endpoint import FilterConfig, RetryOverrides
from sockudo_py.config.sections.webhooks import BatchingConfig
from sockudo_py.endpoints import ProfileName
from sockudo_py.webhooks.endpoints.filters import CHANNEL_TYPES
from sockudo_py.webhooks.endpoints.profiles import SCHEMES, scheme_headers, signed_headers
from sockudo_py.webhooks.events import EVENT_NAMES, pusher_style
from sockudo_py.webhooks.targets.base import ERROR_CLASSES
from tests.docs.made import endpoint, sample
from tests.docs.pages import blocks, code_words, page, section, table

EVENTS, REQUESTS = page("webhooks/events.md"), page("webhooks/requests.md")
SIGNATURES, FILTERS, RETRIES = (page(f"webhooks/{name}.md") for name in ("signatures", "filters", "retries"))
NAMES = list(EVENT_NAMES.values())
JSON_TYPES = {str: "text", int: "number"}


def test_every_event_type_is_listed_and_has_a_section() -> None:
    assert [code_words(row["event type"])[0] for row in table(EVENTS, "event type")] == NAMES
    for name in NAMES:
        section(EVENTS, name)


@pytest.mark.parametrize("name", NAMES)
def test_the_fields_of_an_event_are_those_that_are_sent(name: str) -> None:
    rows = table(section(EVENTS, name), "field")
    said = {code_words(row["field"])[0]: row["type"] for row in rows}
    assert said == {key: JSON_TYPES[type(value)] for key, value in sample(name).items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_lean_payload_leaves_out_what_the_page_says(name: str) -> None:
    left_out = set(sample(name)) - set(pusher_style(sample(name)))
    member = name in ("member_added", "member_removed")
    assert left_out == ({"time_ms", "socket_id", "data"} & set(sample(name)) if member else {"time_ms"})


def test_every_header_of_a_request_is_listed() -> None:
    sent = signed_headers(endpoint(), body=b"{}", body_id="b", delivery_id="d", attempt=1, now=0.0)
    said = [name for row in table(REQUESTS, "header") for name in code_words(row["header"])]
    assert said == [
        "Content-Type",
        "User-Agent",
        "webhook-id",
        "webhook-timestamp",
        "X-Sockudo-Delivery-Id",
        "X-Sockudo-Attempt",
        "X-Pusher-Key",
        "X-Pusher-Signature",
    ]
    assert sorted(said) == sorted(name for name, _ in sent)


def test_the_keys_of_batching_and_their_defaults_are_right() -> None:
    defaults = BatchingConfig()
    for row in table(REQUESTS, "key"):
        [key] = code_words(row["key"])
        assert json.loads(code_words(row["default"])[0]) == getattr(defaults, key.removeprefix("webhooks.batching."))


def test_every_profile_has_an_example_and_a_sentence() -> None:
    for profile in get_args(ProfileName):
        section(SIGNATURES, profile)
        assert f"`{profile}`" in section(SIGNATURES, "Which profile")
    assert set(SCHEMES) | {"custom"} == set(get_args(ProfileName))


def test_the_headers_of_every_profile_are_in_its_example() -> None:
    for profile, scheme in SCHEMES.items():
        [example] = blocks(section(SIGNATURES, profile), "http")
        for name in scheme_headers(scheme):
            assert (f"\n{name}: " in example) != name.endswith("-Previous")


def test_every_key_and_type_of_filters_is_explained() -> None:
    assert {code_words(row["key"])[0] for row in table(FILTERS, "key")} == set(FilterConfig.model_fields)
    assert [
        name for row in table(section(FILTERS, "Types"), "`channel_type`") for name in code_words(row["`channel_type`"])
    ] == list(CHANNEL_TYPES)


def test_every_key_of_retries_is_explained() -> None:
    said = {key for row in table(RETRIES, "key of `retry`") for key in code_words(row["key of `retry`"])}
    assert said == set(RetryOverrides.model_fields) - {"preset", "max_attempts"}  # the second: Sockudo's name


def test_every_error_class_is_explained() -> None:
    rows = table(RETRIES.split("`retry_on` decides")[0], "error class")
    assert {name for row in rows for name in code_words(row["error class"])} == ERROR_CLASSES
