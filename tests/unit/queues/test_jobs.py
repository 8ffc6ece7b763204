"""The text of a job."""

import orjson
import pytest

from sockudo_py.protocol.source import Source
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, Claim, DeadLetters
from sockudo_py.queues.jobs import Job, JobError, PoisonJob

JOB = Job("e1", "wh_a", "app", 1700, b'[{"name":"a"}]', attempt=2, redrives=1)
TEXT = (
    b'{"v":1,"id":"e1","ep":"wh_a","kind":"webhook","app":"app","attempt":2,"redrives":1,"created_ms":1700,'
    b'"events":[{"name":"a"}]}'
)
DEAD_TEXT = TEXT[:-1] + b',"failed_ms":9,"error":{"class":"http_5xx","status":503,"message":"no \\"luck\\""}}'
DEAD = Job("e1", "wh_a", "app", 1700, b'[{"name":"a"}]', 2, 1, 9, JobError("http_5xx", 'no "luck"', 503))


@pytest.mark.parametrize(("job", "text"), [(JOB, TEXT), (DEAD, DEAD_TEXT)])
def test_text_and_job_turn_into_each_other(job: Job, text: bytes) -> None:
    assert jobs.encode(job) == text
    assert jobs.decode(text) == job


def test_an_appended_event_becomes_a_fresh_job() -> None:
    text = jobs.encode_event(Append("e1", "wh_a", "app", b'{"name":"a"}', 1700))
    assert jobs.decode(text) == Job("e1", "wh_a", "app", 1700, b'[{"name":"a"}]')


def test_no_solo_mark_gets_into_the_text() -> None:
    one, other = (jobs.encode_event(Append("e1", "wh_a", "app", b"{}", 1, solo)) for solo in (True, False))
    assert one == other


@pytest.mark.parametrize(
    "spaced",
    [orjson.dumps(orjson.loads(DEAD_TEXT), option=orjson.OPT_INDENT_2), DEAD_TEXT + b"\n", b" " + DEAD_TEXT],
)
def test_a_reformatted_text_means_the_same(spaced: bytes) -> None:
    assert jobs.decode(spaced) == DEAD


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", '"v" must be 1'),
        (TEXT.replace(b'"v":1', b'"v":2'), '"v" must be 1'),
        (TEXT.replace(b'"e1"', b'""'), '"id" of the job must be a string'),
        (TEXT.replace(b'"wh_a"', b"7"), '"ep" of the job must be a string'),
        (TEXT.replace(b'"app":"app"', b'"app":null'), '"app" of the job must be a string'),
        (TEXT.replace(b'"attempt":2', b'"attempt":-1'), '"attempt" of the job must be an integer'),
        (TEXT.replace(b'"redrives":1', b'"redrives":true'), '"redrives" of the job must be an integer'),
        (TEXT.replace(b'"created_ms":1700', b'"created_ms":"x"'), '"created_ms" of the job must be an integer'),
        (TEXT.replace(b'[{"name":"a"}]', b"[]"), "no events"),
        (TEXT.replace(b'[{"name":"a"}]', b"[1]"), "not a list of objects"),
        (TEXT.replace(b'[{"name":"a"}]', b"{}"), "not a list of objects"),
        (TEXT.replace(b'{"name":"a"}', b'{"name":'), "not JSON"),
        (TEXT.replace(b'"app":"app"', b'"app":"\xff"'), "not UTF-8"),
        (DEAD_TEXT.replace(b'"failed_ms":9', b'"failed_ms":"9"'), '"failed_ms" of the job must be an integer'),
        (b'{"id":"e1"}', '"v" must be 1'),
    ],
)
def test_a_poison_text_is_refused_with_a_reason(text: bytes, message: str) -> None:
    with pytest.raises(PoisonJob, match=message):
        jobs.decode(text)


@pytest.mark.parametrize("text", [TEXT, DEAD_TEXT, b" " + TEXT])
def test_id_and_endpoint_are_found(text: bytes) -> None:
    assert jobs.header(text) == ("e1", "wh_a")


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b'{"id":1,"ep":"a"}', b'{"id":"a","ep":""}'])
def test_a_text_without_id_or_endpoint_has_no_header(text: bytes) -> None:
    assert jobs.header(text) is None
    with pytest.raises(ValueError, match="not the text of a job"):
        jobs.require_header(text)


def test_creation_time_is_found_in_any_job_and_zero_in_poison() -> None:
    assert [jobs.created_ms(text) for text in (TEXT, b" " + TEXT, b"nonsense")] == [1700, 1700, 0]


def test_merging_splices_the_bytes_of_the_events() -> None:
    first = jobs.encode_event(Append("e1", "wh_a", "app", b'{"n":1.0}', 1700))
    assert jobs.decode(jobs.merge(first, [b'{"n":1e2}', b"{}"])).events_text == b'[{"n":1.0},{"n":1e2},{}]'


def test_merging_nothing_changes_nothing() -> None:
    assert jobs.merge(TEXT, []) == TEXT


def test_the_event_of_a_fresh_job_is_found_behind_confusing_names() -> None:
    text = jobs.encode_event(Append(',"events":[', ',"events":[', "app", b'{"x":",\\"events\\":["}', 1))
    assert jobs.event_of(text) == b'{"x":",\\"events\\":["}'


def test_a_live_job_is_not_revived() -> None:
    assert jobs.revive(TEXT) == TEXT


def test_a_dead_job_is_revived_at_attempt_zero() -> None:
    job = jobs.decode(jobs.revive(DEAD_TEXT))
    assert job == Job("e1", "wh_a", "app", 1700, b'[{"name":"a"}]', attempt=0, redrives=2)


def test_reviving_keeps_the_bytes_of_the_events() -> None:
    events = b'[{"n":1.0,"big":123456789012345678901234567890,"failed_ms":1,"error":{"a":[]}}]'
    dead = jobs.encode(Job("e1", "wh_a", "app", 1, events, failed_ms=5, error=JobError("x")))
    assert jobs.decode(jobs.revive(dead)).events_text == events


def test_events_that_look_like_the_end_of_a_dead_job_do_not_confuse() -> None:
    events = b'[{"x":[],"failed_ms":1,"error":{"class":"a"}}]'
    live = jobs.encode(Job("e1", "wh_a", "app", 1, events))
    assert jobs.revive(live) == live
    assert jobs.decode(live).failed_ms is None


def test_a_poison_text_is_handed_on_by_revive() -> None:
    assert jobs.revive(b"nonsense") == b"nonsense"


def test_burying_a_dead_job_replaces_its_error() -> None:
    again = jobs.decode(jobs.bury(DEAD_TEXT, 10, JobError("expired", "too old")))
    assert (again.failed_ms, again.error) == (10, JobError("expired", "too old"))


def test_burying_poison_keeps_the_text_for_a_person_to_see() -> None:
    buried = orjson.loads(jobs.bury(b"nonsense\xff", 10, JobError("x")))
    assert buried["error"]["class"] == "poison"
    assert buried["raw"] == "nonsense\ufffd"
    assert buried["failed_ms"] == 10


def test_poison_with_a_known_endpoint_stays_with_it() -> None:
    buried = jobs.poison(TEXT.replace(b'"v":1', b'"v":7'), 10, "unknown version")
    assert jobs.header(buried) == ("e1", "wh_a")


def test_poison_is_wrapped_once() -> None:
    once = jobs.poison(b"nonsense", 10, "why")
    assert jobs.poison(once, 11, "why") == once


def test_own_events_are_counted_without_being_read() -> None:
    text = jobs.encode_events(Append("e1", "wh", "app", b"{}", 7, own=True), (b'{"n":1}', b'{"n":2}'))
    job = jobs.decode(text, own=2)
    assert job.parsed is None
    assert (job.count(), job.events()) == (2, [{"n": 1}, {"n": 2}])
    assert job == jobs.decode(text)


@pytest.mark.parametrize("ident", ["e1", 'a"b', "é"])
def test_what_a_queue_knows_of_a_fresh_job_is_what_its_text_says(ident: str) -> None:
    made = jobs.fresh(Append(ident, "wh", "app", b"{}", 7, own=True), (b'{"n":1}', b'{"n":2}'))
    text = jobs.encode_fresh(made)
    assert jobs.of_claim(Claim("t", text, 2, made)) == jobs.of_claim(Claim("t", text, 2)) == jobs.decode(text)


def test_some_of_the_events_are_no_longer_own() -> None:
    job = jobs.decode(jobs.encode_events(Append("e1", "wh", "app", b"{}", 7), (b'{"n":1}', b'{"n":2}')), own=2)
    assert jobs.with_events(job, [{"n": 2}]).count() == 1


def test_who_caused_an_event_is_not_in_its_job() -> None:
    told = Append("e1", "wh", "app", b"{}", 1)
    assert jobs.encode_event(told._replace(source=Source("app", "1.1", "192.0.2.1"))) == jobs.encode_event(told)


def test_a_choice_of_dead_letters_has_no_more_ids_than_one_call_takes() -> None:
    with pytest.raises(ValueError, match="at most 1000"):
        DeadLetters(ids=frozenset(map(str, range(1001))))
