"""SEEDS.md: which test proves which promise of the five documents. Written by ``python -m tests.seeds_table``.

An item is proved by tests, or left to another part of the project with a reason; some are both: half of it is proved.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS / "SEEDS.md"

RECEIVERS = "e2e/test_seeds_receivers.py"
PROMISES = "e2e/test_seeds_promises.py"
OPERATOR = "e2e/test_seeds_operator.py"
DELIVERY = "e2e/test_webhooks_delivery.py"
TRIGGER = "e2e/test_trigger.py"
MANAGEMENT = "e2e/test_seeds_management.py"
HTTP = "e2e/test_webhooks_http_target.py"
LAMBDA, LAMBDA_WIRE = "unit/webhooks/test_aws_lambda.py", "e2e/test_webhooks_lambda.py"
WORKER = "unit/webhooks/test_worker.py"
SHAPES = "unit/config/test_shapes.py"
REQUESTS = "conformance/pusher/test_N_webhook_requests.py"
EVENTS = "conformance/pusher/test_N_webhook_events.py"
DEAD = "conformance/queues/test_dead_letters.py"
REDIS_OPERATOR = "faults/test_queue_redis_operator.py"


@dataclass(frozen=True, slots=True)
class Item:
    """A promise. ``tests``: (file below tests/, name of the function). ``left``: what is not proved here, and why."""

    says: str
    tests: tuple[tuple[str, str], ...] = ()
    left: str = ""


def item(says: str, *tests: tuple[str, str], left: str = "") -> Item:
    """Return an item."""
    return Item(says, tests, left)


ON_THE_PAGE = ("browser/test_dashboard.py", "test_r6_r7_r12_a_webhook_is_added_tested_broken_and_repaired")
MADE = (MANAGEMENT, "test_d1_d2_d3_an_endpoint_is_made_shown_and_tested")
REDRIVEN = (MANAGEMENT, "test_d6_d7_i2_failed_deliveries_are_counted_and_sent_again_by_hand")
DELIVERED = ("e2e/test_deliveries.py", "test_d4_i6_p11_what_was_delivered_is_seen_and_sent_again")
DELIVERY_ROUTES = "unit/management/test_delivery_routes.py"
STATISTICS = (DELIVERY_ROUTES, "test_d5_r10_statistics_have_the_keys_of_the_specification")
SCHEDULE = (
    PROMISES,
    "test_p6_k12_r3_i2_the_attempts_come_exactly_on_schedule_and_then_it_is_a_dead_letter",
)
OTHERS_RETRY = (PROMISES, "test_p8_k11_i3_every_other_profile_tries_all_that_is_no_2xx_again")
SUCCESS = (PROMISES, "test_p7_k11_i3_any_2xx_is_a_success")
SECONDS = (PROMISES, "test_p7_k11_d11_i3_a_request_has_the_seconds_of_its_document")
TOO_LATE = (HTTP, "test_n216_an_answer_that_takes_too_long_is_a_timeout")
SAME_IDS = (PROMISES, "test_p10_r2_d9_i8_ids_and_times_in_the_body_are_the_same_on_every_attempt")
BATCH = (RECEIVERS, "test_k1_k7_k10_the_base_projects_receivers_take_a_live_batch")
PULSE = (RECEIVERS, "test_p2_p3_p13_pulses_receivers_in_javascript_and_python_take_every_event")
TRIGGERED = (TRIGGER, "test_p13_k6_d12_i9_the_route_triggers_every_domain_event_in_its_envelope")
PULSE_GO = (RECEIVERS, "test_p2_pulses_receiver_in_go_takes_a_request")
PULSE_BODY = (RECEIVERS, "test_p4_p5_a_pulse_request_is_one_event_in_its_envelope")
REALCAST = (RECEIVERS, "test_r1_r2_r9_realcasts_receivers_take_every_event")
REMOTEDEVAI = (RECEIVERS, "test_d8_remotedevais_receivers_take_every_event")
IRISX = (RECEIVERS, "test_i1_i8_irisxs_receivers_take_every_event")
TLS_ONLY = (PROMISES, "test_p9_endpoints_of_these_profiles_are_https_only")
REDRIVE = (OPERATOR, "test_k13_k14_operators_see_dead_letters_and_send_one_again")
BAD_TLS = (HTTP, "test_a_certificate_from_a_stranger_is_a_tls_failure")
USAGE = (OPERATOR, "test_k16_k17_usage_shows_the_documented_figures_and_the_endpoints_without_secrets")

DOCUMENTS: dict[str, dict[str, Item]] = {
    "S0 Pulse": {
        "P1": item(
            "set the URL of a project by `PUT /api/v1/projects/{id}`",
            (MANAGEMENT, "test_p1_the_url_of_a_project_is_set_and_events_arrive"),
        ),
        "P2": item("signature verified by the samples in JavaScript, Python and Go", PULSE, PULSE_GO),
        "P3": item("the sample that verifies `JSON.stringify(req.body)`", PULSE),
        "P4": item("envelope `event, project_id, timestamp, data`", PULSE_BODY),
        "P5": item("one event per request", PULSE_BODY),
        "P6": item(
            "attempts at once, after 5 s, 30 s, 2 min, 10 min, 1 h",
            SCHEDULE,
            (PROMISES, "test_p6_the_last_of_pulses_attempts_is_over_an_hour_after_the_first"),
        ),
        "P7": item("success is 200-299 within 30 s", SUCCESS, SECONDS, TOO_LATE),
        "P8": item("any other status is a failure", OTHERS_RETRY),
        "P9": item("HTTPS only", TLS_ONLY),
        "P10": item(
            "the replay key is the same on retries",
            SAME_IDS,
            (PROMISES, "test_p10_the_time_in_the_body_is_the_events_even_an_hour_later"),
        ),
        "P11": item(
            "`GET /api/v1/webhooks/logs`",
            DELIVERED,
            (DELIVERY_ROUTES, "test_p11_the_log_has_the_attempts_of_all_endpoints_of_an_app_newest_first"),
        ),
        "P12": item(
            "timeouts, TLS errors and a receiver's 401 are told apart",
            TOO_LATE,
            BAD_TLS,
            (HTTP, "test_n216_every_other_status_is_a_failure_of_its_class"),
            (WORKER, "test_a_failed_attempt_is_one_log_line_without_secrets"),
            (DELIVERY_ROUTES, "test_p12_the_log_speaks_pulses_words"),
        ),
        "P13": item("domain events (`room.started` ...)", PULSE, TRIGGERED),
    },
    "S1 Sockudo": {
        "K1": item(
            "events within the window share a request",
            BATCH,
            (DELIVERY, "test_n213_events_within_the_window_share_a_request"),
            (REQUESTS, "test_213_events_within_the_window_share_a_request_where_batching_is_on"),
        ),
        "K2": item(
            "webhooks of an app in the configuration",
            (SHAPES, "test_the_documented_webhook_configuration_loads_as_it_is"),
        ),
        "K3": item(
            "custom headers; they never replace ours",
            (DELIVERY, "test_n206_the_headers_on_the_wire"),
            (REQUESTS, "test_219_custom_headers_are_sent"),
            (REQUESTS, "test_219_headers_that_are_ours_can_not_be_configured"),
        ),
        "K4": item(
            "Lambda: function, region, invocation type, qualifier",
            (LAMBDA, "test_a_function_is_invoked_as_configured"),
            (LAMBDA_WIRE, "test_an_invocation_on_the_wire"),
        ),
        "K5": item(
            "the sample handler on Lambda takes what it gets",
            (LAMBDA, "test_n209_the_documented_handler_takes_what_the_function_gets"),
            (LAMBDA_WIRE, "test_a_function_gets_what_its_documented_handler_accepts"),
        ),
        "K6": item(
            "events of channels, members, clients, connections, applications",
            (EVENTS, "test_197_the_first_subscriber_occupies_a_channel_and_the_second_does_not"),
            (EVENTS, "test_198_the_last_to_leave_vacates_it_after_the_delay"),
            (EVENTS, "test_200_the_first_and_last_connection_of_a_user_are_told_and_others_not"),
            (EVENTS, "test_202_a_client_event_is_told_with_its_data_as_a_string"),
            (REQUESTS, "test_215_connection_events_come_only_where_listed_and_alone"),
            PULSE,
            TRIGGERED,
            (TRIGGER, "test_k6_pushers_python_sdk_signs_what_the_route_takes"),
        ),
        "K7": item(
            "envelope and the fields of every event", BATCH, (RECEIVERS, "test_k7_every_field_of_the_table_is_there")
        ),
        "K8": item(
            "`Content-Type` is exactly `application/json`",
            (REQUESTS, "test_206_the_headers_are_exact_and_each_comes_once"),
            BATCH,
        ),
        "K9": item(
            "filters by type and prefix, both together",
            (REQUESTS, "test_212_filters_apply_before_signing"),
            (
                "unit/webhooks/test_filters.py",
                "test_n212_type_and_prefix_must_both_hold_and_the_prefix_may_leave_the_class_out",
            ),
        ),
        "K10": item(
            "`X-Pusher-Key`, `X-Pusher-Signature`, with `sha256=` on request",
            BATCH,
            (REQUESTS, "test_210_the_sockudo_profile_prefixes_the_signature"),
            (RECEIVERS, "test_k10_laravels_controller_takes_a_live_batch"),
        ),
        "K11": item("success is 2xx within 10 s", SUCCESS, SECONDS, OTHERS_RETRY, TOO_LATE),
        "K12": item("retries after 1, 2, 4, 8, 16 s", SCHEDULE),
        "K13": item("dead letters", SCHEDULE, REDRIVE, (DEAD, "test_failed_shows_pages_newest_first")),
        "K14": item(
            "`redis-cli llen`, `lrange`, `rpoplpush`; webhook-recovery.sh",
            REDRIVE,
            (OPERATOR, "test_k14_the_recovery_script_warns_above_a_hundred_and_brings_one_back"),
            (REDIS_OPERATOR, "test_rpoplpush_delivers_the_oldest_again_with_its_attempts_reset"),
        ),
        "K15": item(
            "the queue's configuration; concurrent workers; requests are not held up",
            (SHAPES, "test_the_documented_webhook_configuration_loads_as_it_is"),
            ("conformance/queues/test_leases.py", "test_two_workers_never_get_the_same_job"),
            (
                "conformance/pusher/test_N_webhook_failures.py",
                "test_220_a_hanging_endpoint_delays_neither_clients_nor_other_apps",
            ),
        ),
        "K16": item(
            "`/metrics | grep webhook`; the figures by name",
            (OPERATOR, "test_k16_the_metrics_port_has_lines_about_webhooks"),
            USAGE,
        ),
        "K17": item("`/usage` shows the webhook configuration", USAGE),
        "K18": item(
            "`redis-cli monitor | grep webhook`",
            (REDIS_OPERATOR, "test_the_traffic_says_webhook_for_those_who_monitor"),
        ),
        "K19": item(
            "drivers: memory retries and keeps dead letters, is not durable; Redis and SQS are",
            (WORKER, "test_n216_n218_a_failure_is_retried_on_schedule_and_ends_among_the_dead_letters"),
            (
                "conformance/pusher/test_N_webhook_failures.py",
                "test_221_after_a_crash_the_persistent_queue_delivers_what_was_waiting",
            ),
            ("faults/test_queue_redis.py", "test_all_that_was_appended_or_claimed_is_there_after_a_sigkill_of_redis"),
            ("e2e/test_webhooks_sqs.py", "test_what_a_killed_server_had_not_delivered_another_delivers"),
        ),
        "K20": item(
            "Pusher's SDKs validate webhooks",
            (DELIVERY, "test_n205_n208_pushers_python_sdk_takes_a_batch_off_the_wire"),
            (
                "unit/webhooks/test_profiles.py",
                "test_n217_a_delivery_from_an_hour_ago_is_sent_with_a_fresh_time_and_signature",
            ),
        ),
    },
    "S2 RealCast": {
        "R1": item(
            "signature verified by the samples in JavaScript, Python and PHP",
            REALCAST,
            (RECEIVERS, "test_r1_realcasts_receiver_in_php_takes_every_event"),
        ),
        "R2": item("`x-realcast-webhook-id`, the same on retries", REALCAST, SAME_IDS),
        "R3": item("3 retries after 1, 5, 25 s", SCHEDULE),
        "R4": item(
            "4xx is final, 5xx is tried again",
            (PROMISES, "test_r4_a_4xx_is_final_for_realcast"),
            (PROMISES, "test_r4_a_5xx_is_tried_again_for_realcast"),
        ),
        "R5": item(
            "an endpoint can be disabled", (PROMISES, "test_r5_a_disabled_endpoint_gets_nothing_and_another_one_does")
        ),
        "R6": item("the secret is shown once", ON_THE_PAGE),
        "R7": item(
            "a test event of a chosen type",
            ("unit/test_cli_webhooks.py", "test_test_with_a_chosen_type_of_any_name"),
            ON_THE_PAGE,
        ),
        "R8": item(
            "events are selected per webhook", (RECEIVERS, "test_r8_an_endpoint_gets_the_events_that_it_selected")
        ),
        "R9": item("envelope `event, timestamp, data`", REALCAST),
        "R10": item("figures of received, processed, failed", STATISTICS),
        "R11": item(
            "the certificate must be valid",
            BAD_TLS,
            (HTTP, "test_a_certificate_for_another_host_is_a_tls_failure"),
            (HTTP, "test_https_with_a_certificate_that_we_trust"),
        ),
        "R12": item("Apps, app, Webhooks, Add Webhook", ON_THE_PAGE),
    },
    "S3 RemoteDevAI": {
        "D1": item("`POST /api/webhooks`", MADE),
        "D2": item("`GET /api/webhooks/{id}`", MADE),
        "D3": item(
            "`POST /api/webhooks/{id}/test`",
            MADE,
            ("unit/test_cli_webhooks.py", "test_test_makes_one_genuine_attempt_and_shows_its_outcome"),
        ),
        "D4": item(
            "`GET /api/webhooks/{id}/deliveries`",
            DELIVERED,
            (DELIVERY_ROUTES, "test_d4_i6_an_attempt_is_shown_as_the_specification_says"),
        ),
        "D5": item("`GET /api/webhooks/{id}/stats`", STATISTICS),
        "D6": item(
            "`GET /api/webhooks/queue/stats`",
            REDRIVEN,
            ("unit/test_cli_webhooks.py", "test_stats_count_what_is_where"),
        ),
        "D7": item(
            "`POST /api/webhooks/queue/retry-failed`, of all or of one",
            REDRIVEN,
            ("unit/test_cli_webhooks.py", "test_retry_all_takes_every_page"),
            ("unit/test_cli_webhooks.py", "test_retry_of_one_endpoint_leaves_the_others"),
        ),
        "D8": item("bare hex over time and body, 300 s, verified by both samples", REMOTEDEVAI),
        "D9": item(
            "envelope `id, type, data`",
            (RECEIVERS, "test_d9_a_remotedevai_body_has_id_type_time_and_data"),
            SAME_IDS,
        ),
        "D10": item(
            "`WEBHOOK_WORKER_CONCURRENCY`, `WEBHOOK_RATE_LIMIT`, `REDIS_HOST` ...",
            ("unit/config/test_environment.py", "test_a_variable_overrides_the_file"),
            ("unit/config/test_environment.py", "test_redis_host_replaces_a_url_in_the_file"),
            (WORKER, "test_the_rate_of_the_process_holds_deliveries_back_and_drops_none"),
        ),
        "D11": item("200 within 30 s; HTTPS", SECONDS, SUCCESS, TLS_ONLY),
        "D12": item("`triggerEvent({eventType, userId, data})`", REMOTEDEVAI, TRIGGERED),
        "D13": item("`redis-cli ping`", (OPERATOR, "test_d13_redis_cli_ping")),
    },
    "S4 IRISX": {
        "I1": item("signature over time and body, 300 s, verified by both samples", IRISX),
        "I2": item(
            "retries after 1, 2, 4, 8, 16 s, then failed; manual retry",
            SCHEDULE,
            REDRIVEN,
            ("unit/test_cli_webhooks.py", "test_retry_sends_the_oldest_again"),
            (DELIVERY_ROUTES, "test_i2_a_retry_is_a_new_delivery_of_the_same_events"),
        ),
        "I3": item(
            "4xx and 5xx both fail; connect timeout; network errors",
            OTHERS_RETRY,
            SUCCESS,
            SECONDS,
            (HTTP, "test_n216_a_refused_connection_is_a_failure"),
            (HTTP, "test_a_listener_that_never_accepts_is_a_connect_timeout"),
        ),
        "I4": item(
            "60 a minute and 1000 an hour, per webhook; none is dropped",
            (PROMISES, "test_i4_irisx_endpoints_take_60_requests_a_minute_and_the_61st_waits"),
            (PROMISES, "test_i4_and_1000_an_hour"),
            (PROMISES, "test_i4_the_rate_can_be_set_for_each_endpoint"),
        ),
        "I5": item("`GET /v1/webhooks/:id` with statistics", (DELIVERY_ROUTES, "test_i5_an_endpoint_with_statistics")),
        "I6": item(
            "`GET /v1/webhooks/:id/deliveries`",
            DELIVERED,
            (DELIVERY_ROUTES, "test_d4_i6_an_attempt_is_shown_as_the_specification_says"),
        ),
        "I7": item(
            "`POST /v1/webhooks/123/test`",
            (MANAGEMENT, "test_i7_i10_a_test_by_number_and_not_for_strangers"),
        ),
        "I8": item("envelope `event, event_id, timestamp, data`; event_id stays", IRISX, SAME_IDS),
        "I9": item("`triggerEvent({tenantId, eventType, eventId, payload})`", IRISX, SAME_IDS, TRIGGERED),
        "I10": item(
            "an endpoint belongs to its app",
            ("unit/webhooks/test_registry.py", "test_an_endpoint_belongs_to_its_app"),
            (MANAGEMENT, "test_i7_i10_a_test_by_number_and_not_for_strangers"),
            (MANAGEMENT, "test_i10_an_endpoint_is_not_there_for_other_apps"),
        ),
    },
}

COUNTS = {"P": 13, "K": 20, "R": 12, "D": 13, "I": 10}


def items() -> dict[str, Item]:
    """Return every item by its id."""
    return {name: one for document in DOCUMENTS.values() for name, one in document.items()}


def defined(file: str) -> frozenset[str]:
    """Return the names of the tests in a file below tests/."""
    path = TESTS / file
    text = path.read_text() if path.exists() else ""
    return frozenset(re.findall(r"^(?:async )?def (test_\w+)\(", text, re.MULTILINE))


def page() -> str:
    """Return the text of SEEDS.md."""
    every = items().values()
    whole = sum(1 for one in every if one.tests and not one.left)
    partly = sum(1 for one in every if one.tests and one.left)
    lines = [
        "# Seeds",
        "",
        "What the five documents that this server has to satisfy promise about delivery, and which test proves it.",
        "Live means: the configuration, queue, worker and HTTPS of the server, and the documents' own ways to verify.",
        "This page is written by `python -m tests.seeds_table`, and a test keeps it complete.",
        "",
        f"{len(every)} items: {whole} proved, {partly} proved as far as they concern delivery, "
        f"{len(every) - whole - partly} left to another issue.",
    ]
    for title, document in DOCUMENTS.items():
        lines += ["", f"## {title}", "", "| item | says | status | proved by |", "|---|---|---|---|"]
        lines += [_row(name, one) for name, one in document.items()]
    return "\n".join(lines) + "\n"


def _row(name: str, one: Item) -> str:
    status = ("partly" if one.left else "proved") if one.tests else "left"
    cells = [*_cells(one.tests), *([one.left] if one.left else [])]
    return f"| {name} | {one.says.replace('|', chr(92) + '|')} | {status} | {'<br>'.join(cells)} |"


def _cells(tests: Iterable[tuple[str, str]]) -> Iterable[str]:
    by_file: dict[str, list[str]] = {}
    for file, name in tests:
        by_file.setdefault(file, []).append(name.removeprefix("test_").replace("_", " "))
    return [f"`{file}`: {'; '.join(names)}" for file, names in by_file.items()]


def main() -> None:
    """Write SEEDS.md."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
