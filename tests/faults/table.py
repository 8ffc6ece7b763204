"""FAULTS.md: which test shows which fault. Written by ``python -m tests.faults.table``."""

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
PAGE = Path(__file__).parent / "FAULTS.md"
_TEST = re.compile(r"^(?:async )?def test_((?:F\d\d_)+)(\w+)\(", re.MULTILINE)
_SLOW = "@pytest.mark.slow"

FAULTS = {
    1: "receiver answers in 9.9 s / 10.1 s",
    2: "receiver hangs after accept",
    3: "slow-loris response",
    4: "RST after the request was sent",
    5: "keep-alive closed just as we send",
    6: "garbage instead of HTTP",
    7: "200 with an endless body",
    8: "gzip bomb",
    9: "redirects: loop, metadata service, other host",
    10: "204, 201, 299 / 199, 300, 304",
    11: "400, 401, 404, 422",
    12: "410",
    13: "429 with Retry-After in every form",
    14: "500 three times, then 200",
    15: "TLS: expired, wrong host, self-signed, 1.0 only",
    16: "DNS: NXDOMAIN, SERVFAIL, timeout",
    17: "DNS rebinding, mixed answers",
    18: "connection refused, network unreachable",
    19: "Set-Cookie by the receiver",
    20: "100 Continue, 103, trailers, HTTP/1.0 close",
    21: "10,000 endpoints, one dead",
    22: "20, 60, 200 hung endpoints and a healthy one",
    23: "redis-server SIGKILL mid-flight",
    24: "redis-server SIGSTOP for 20 s",
    25: "reply of enqueue lost",
    26: "reply of claim lost",
    27: "reply of ack lost",
    28: "worker SIGKILL after send, before ack",
    29: "worker SIGKILL in the batching window",
    30: "worker SIGTERM with 50 in flight",
    31: "worker SIGSTOP past its leases",
    32: "delivery cancelled, exception in the sender",
    33: "failover to a replica mid-flight",
    34: "READONLY",
    35: "maxmemory hit",
    36: "disk full under the AOF",
    37: "allkeys-lru",
    38: "FLUSHALL, SCRIPT FLUSH, CLIENT KILL, DEBUG SLEEP",
    39: "clocks an hour off",
    40: "malformed and foreign jobs pushed by hand",
    41: "poison job that crashes its worker",
    42: "100,000 events in one window",
    43: "an event over max_payload_bytes",
    44: "endpoint deleted, disabled, moved with 500 queued",
    45: "operator's rpoplpush under load, twice, on an empty list",
    46: "secret rotated with jobs queued",
    47: "Lambda: throttle, FunctionError, timeout, unknown, no credentials, too large",
    48: "last subscribers leave at once; node SIGKILL",
}

# Tests elsewhere that prove a fault, or a part of it.
ELSEWHERE = {
    2: ["unit/webhooks/test_worker.py::test_a_retry_waits_in_the_queue_and_not_in_a_slot"],
    10: ["e2e/test_webhooks_http_target.py::test_n216_every_other_status_is_a_failure_of_its_class"],
    15: ["e2e/test_webhooks_http_target.py::test_tls_below_1_2_is_not_spoken"],
    17: ["e2e/test_webhooks_http_target.py::test_a_name_with_one_internal_address_among_others_is_blocked"],
    23: ["faults/test_queue_redis.py::test_all_that_was_appended_or_claimed_is_there_after_a_sigkill_of_redis"],
    24: ["faults/test_queue_redis.py::test_a_frozen_redis_is_unavailable_and_a_repeated_append_adds_once"],
    25: ["faults/test_queue_redis.py::test_an_append_whose_answer_is_lost_adds_once"],
    26: ["faults/test_queue_redis.py::test_a_claim_whose_answer_is_lost_is_answered_again"],
    27: ["faults/test_queue_redis.py::test_an_answer_whose_reply_is_lost_took_effect_once"],
    29: ["faults/test_queue_sqlite.py::test_no_event_whose_append_returned_is_lost_by_a_sigkill"],
    32: ["unit/webhooks/test_worker.py::test_a_bug_in_a_target_is_a_failed_attempt_and_the_worker_goes_on"],
    33: ["faults/test_queue_redis.py::test_events_wait_for_the_replicas_that_are_asked_for"],
    36: ["faults/test_queue_sqlite.py::test_on_a_full_disk_an_append_is_unavailable_and_may_be_repeated"],
    37: ["faults/test_queue_redis.py::test_an_evicting_redis_is_an_error_in_the_log"],
    41: ["conformance/queues/test_leases.py::test_a_job_that_kills_its_workers_is_poison_in_the_end"],
    45: ["faults/test_queue_redis_operator.py::test_rpoplpush_delivers_the_oldest_again_with_its_attempts_reset"],
    46: ["unit/webhooks/test_profiles.py::test_after_a_rotation_standard_webhooks_get_both_signatures_in_one_header"],
    47: [
        "unit/webhooks/test_aws_lambda.py::test_what_goes_wrong_has_a_class",
        "unit/webhooks/test_aws_lambda.py::test_a_payload_beyond_what_aws_takes_is_not_sent",
        "unit/webhooks/test_aws_lambda.py::test_a_function_that_hangs_is_given_up_in_time_and_does_not_stop_another",
        "e2e/test_webhooks_lambda.py::test_a_throttled_invocation_is_not_repeated_by_the_library",
    ],
}

LIMITS = {
    2: "the schedule runs on a fake clock with a timeout of 0.3 s; invariant I is F22's",
    3: "faster than a byte a second, with a shorter timeout",
    17: "127.0.0.2 stands for the public address",
    18: "the unreachable network is an error that the socket call is made to raise",
    22: "timeouts and retries are five times shorter than the defaults",
    24: "slow; the fast part is the queue's test",
    28: "leases of 1 s instead of 30 s",
    33: "wait_replicas 1; without Sentinel the address follows the failover, as a name does",
    36: "a file size limit on redis-server, which makes real AOF writes fail; no tmpfs needed",
    48: "one node at a time; several nodes: `cluster/test_process_faults.py` and `cluster/test_directed.py`",
}


def found() -> dict[int, list[tuple[str, str, bool]]]:
    """Return the tests of each fault, as (file below tests/, what the test says, slow)."""
    tests: dict[int, list[tuple[str, str, bool]]] = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        text = path.read_text()
        for match in _TEST.finditer(text):
            marks = text[text.rfind("\n\n\n", 0, match.start()) : match.start()]
            slow = _SLOW in marks or "pytestmark = pytest.mark.slow" in text
            name = path.relative_to(TESTS).as_posix()
            for number in re.findall(r"F(\d\d)", match[1]):
                tests.setdefault(int(number), []).append((name, match[2].replace("_", " "), slow))
    return tests


def page() -> str:
    """Return the text of FAULTS.md."""
    tests = found()
    lines = [
        "# Faults",
        "",
        "Which test shows which of the 48 faults of the fault-injection plan. The number of a fault is in the names of",
        "its tests: `make test ARGS='-k F14'`. Slow ones run in `make faults`, the others in `make test`.",
        "Invariants: **L** nothing that the queue took is lost, **D** duplicates carry the",
        "same id and equal events, **I** a healthy endpoint's p99 stays below twice its fault-free value",
        "(`harness.py`). `make soak` mixes faults at random. This page is written by `python -m tests.faults.table`,",
        "and a test keeps it complete.",
        "",
        "| fault | what | shown by |",
        "|---|---|---|",
    ]
    for number, what in FAULTS.items():
        shown = [f"`{name}`{' (slow)' if slow else ''}: {says}" for name, says, slow in tests.get(number, [])]
        for place in ELSEWHERE.get(number, []):
            file, _, name = place.partition("::test_")
            shown.append(f"`{file}`: {name.replace('_', ' ')}")
        if number in LIMITS:
            shown.append(f"Limit: {LIMITS[number]}.")
        lines.append(f"| F{number:02} | {what} | {'<br>'.join(shown)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
