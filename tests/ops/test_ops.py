"""Alert rules and dashboard speak of metrics that there are, with labels that they have, and alerts fire."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import code_words, page
from tests.ops import dashboard
from tests.support.api import Api
from tests.support.debian import packages
from tests.support.hook_receiver import HookReceiver
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server
from tests.support.redis_server import unique_prefix as unique_prefix
from tests.support.server import TestApp, app_config, running, server_config

ALERTS = dashboard.OPS / "alerts.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES}
NAME = re.compile(r"\b((?:sockudo|process)_[a-z0-9_]+)(\{[^}]*\})?")
OF_PROMETHEUS = {"instance", "job", "le"}
# Only servers with a table of apps, or with watermarks, have these.
ELSEWHERE = {"sockudo_app_manager_reachable", "sockudo_over_watermark"}


def base(name: str) -> str:
    """Return the name of a histogram whose part this is, or the name itself."""
    return re.sub(r"_(bucket|count|sum)$", "", name)


def documented() -> dict[str, set[str]]:
    """Return the labels of every metric in docs/metrics.md; those of apps have app_id."""
    found: dict[str, set[str]] = {}
    for line in page("metrics.md").splitlines():
        cells = line.split("|")
        if not line.startswith("| `sockudo_") or len(cells) < 5:
            continue
        names = [name for name in code_words(cells[1]) if name.startswith("sockudo_")]
        labels = set(code_words(cells[3])) if len(cells) > 5 else {"app_id"}
        for name in names:
            found.setdefault(name, labels)
    return found


@pytest.mark.parametrize("query", [*EXPRESSIONS.values(), *dashboard.queries()])
def test_every_metric_is_documented_and_has_its_labels(query: str) -> None:
    known = documented()
    names = NAME.findall(query)
    assert names
    labels = set()
    for name, selector in names:
        if name.startswith("process_"):
            continue
        assert base(name) in known, name
        selected = set(re.findall(r"(\w+)[!=]~?\"", selector))
        assert selected <= known[base(name)] | OF_PROMETHEUS, name
        labels |= known[base(name)]
    for listed in re.findall(r"\bby \(([^)]*)\)", query):
        assert {label.strip() for label in listed.split(",")} <= labels | OF_PROMETHEUS


def test_a_server_has_them_all(tmp_path: Path, redis_server: RedisServer, unique_prefix: str) -> None:
    app = TestApp()
    with HookReceiver() as receiver:
        config = server_config(
            app_config(app, webhooks=[{"url": f"{receiver.url}/hook", "event_types": ["*"]}]),
            adapter={"driver": "redis", "redis": {"url_override": redis_server.url, "prefix": f"{unique_prefix}a:"}},
            queue={"driver": "redis", "redis": {"url_override": redis_server.url, "prefix": unique_prefix}},
        )
        with running(config, tmp_path) as server:
            with Api(server, app) as api:
                api.publish("news")
                assert api.signed("POST", api.path("/webhook_events"), b'{"event_type":"a.b"}').status == 202
            receiver.wait_for("/hook", 1)
            text = server.get("/metrics", server.metrics_port)[1].decode()
    there = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)) | set(re.findall(r"^(\w+)", text, re.MULTILINE))
    asked = {base(name) for query in (*EXPRESSIONS.values(), *dashboard.queries()) for name, _ in NAME.findall(query)}
    assert asked - there - ELSEWHERE == set()


def test_the_dashboard_is_made_anew() -> None:
    assert dashboard.PAGE.read_text() == dashboard.text(), "run: python -m tests.ops.dashboard"


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard.dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_it_is_about(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("Sockudo")
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert rule["annotations"]["summary"]


NEW = "_x27 1x12"  # a counter with labels that grows once, and so begins to exist
# For each alert the series with which it fires: values of the first minutes, in Prometheus's notation.
FIRES: dict[str, list[tuple[str, str]]] = {
    "SockudoDeadLetters": [('sockudo_webhook_queue_depth{state="failed",instance="a"}', "101x40")],
    "SockudoQueueOld": [('sockudo_webhook_queue_oldest_seconds{instance="a"}', "90x40")],
    "SockudoSpoolInUse": [('sockudo_webhook_spool_events{instance="a"}', "5x40")],
    "SockudoEventsLost": [('sockudo_webhook_spool_dropped_total{app_id="1",instance="a"}', NEW)],
    "SockudoEndpointDisabled": [('sockudo_webhook_auto_disabled_total{webhook="wh_1",reason="410",instance="a"}', NEW)],
    "SockudoDeliveriesFail": [
        ('sockudo_webhook_deliveries_total{outcome="delivered",instance="a"}', "0+90x40"),
        ('sockudo_webhook_deliveries_total{outcome="failed",instance="a"}', "0+10x40"),
    ],
    "SockudoCircuitOpen": [('sockudo_webhook_circuit_state{webhook="wh_1",instance="a"}', "2x40")],
    "SockudoQueueRefuses": [('sockudo_webhook_enqueue_failures_total{reason="unavailable",instance="a"}', "0+1x40")],
    "SockudoHistoryIncomplete": [('sockudo_webhook_history_dropped_total{instance="a"}', "0+1x40")],
    "SockudoDown": [("something_else", "1x40")],
    "SockudoLoopLag": [
        ('sockudo_event_loop_lag_seconds_bucket{le="0.1",instance="a"}', "0+10x40"),
        ('sockudo_event_loop_lag_seconds_bucket{le="1",instance="a"}', "0+20x40"),
        ('sockudo_event_loop_lag_seconds_bucket{le="+Inf",instance="a"}', "0+20x40"),
    ],
    "SockudoOutOfDescriptors": [('sockudo_out_of_descriptors_total{use="client",instance="a"}', NEW)],
    "SockudoInternalErrors": [('sockudo_http_internal_errors_total{instance="a"}', "0+1x40")],
    "SockudoFull": [('sockudo_over_watermark{what="memory",instance="a"}', "1x40")],
    "SockudoAppsUnreachable": [('sockudo_app_manager_reachable{instance="a"}', "0x40")],
    "SockudoClusterGap": [('sockudo_cluster_gap_seconds_total{instance="a"}', "0+20x40")],
    "SockudoPublishesLost": [('sockudo_cluster_publishes_lost_total{instance="a"}', "0+1x40")],
    "SockudoNodeSwept": [('sockudo_cluster_own_sweeps_total{instance="a"}', "0 1x40")],
}
# A server that is well: nothing may fire.
WELL = [
    ('sockudo_build_info{version="1",instance="a"}', "1x40"),
    ('sockudo_webhook_queue_depth{state="failed",instance="a"}', "3x40"),
    ('sockudo_webhook_queue_oldest_seconds{instance="a"}', "2x40"),
    ('sockudo_webhook_spool_events{instance="a"}', "0x40"),
    ('sockudo_webhook_deliveries_total{outcome="delivered",instance="a"}', "0+99x40"),
    ('sockudo_webhook_deliveries_total{outcome="failed",instance="a"}', "0+1x40"),
    ('sockudo_cluster_gap_seconds_total{instance="a"}', "5x40"),
    ('sockudo_app_manager_reachable{instance="a"}', "1x40"),
]


def promtool(*arguments: str) -> None:
    unpacked = packages("prometheus")
    command = [str(unpacked.file("usr/bin/promtool")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=unpacked.env)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_rules() -> None:
    promtool("check", "rules", str(ALERTS))


def test_each_alert_fires_when_it_should_and_none_does_on_a_server_that_is_well(tmp_path: Path) -> None:
    assert set(FIRES) == set(EXPRESSIONS)
    cases = [(alert, series, 1) for alert, series in FIRES.items()] + [(alert, WELL, 0) for alert in FIRES]
    tests = [
        {
            "interval": "1m",
            "name": f"{alert} {'fires' if count else 'is silent'}",
            "input_series": [{"series": name, "values": values} for name, values in series],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)',
                    "eval_time": "30m" if alert != "SockudoNodeSwept" else "10m",
                    "exp_samples": [{"labels": "{}", "value": count}],
                }
            ],
        }
        for alert, series, count in cases
    ]
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", str(path))
