"""The dashboard for Grafana: ``python -m tests.ops.dashboard`` writes ``ops/grafana-dashboard.json`` anew."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OPS = Path(__file__).parents[2] / "ops"
PAGE = OPS / "grafana-dashboard.json"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_APP = 'app_id=~"$app"'
_NODE = 'instance=~"$instance"'

# Title, unit, queries with their legends. A panel takes a third of the width.
ROWS: tuple[tuple[str, tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]], ...] = (
    (
        "Clients",
        (
            ("Clients", "none", ((f"sum by (app_id) (sockudo_connected{{{_APP},{_NODE}}})", "{{app_id}}"),)),
            (
                "Connects and disconnects",
                "cps",
                (
                    (f"sum(rate(sockudo_new_connections_total{{{_APP},{_NODE}}}[$__rate_interval]))", "connects"),
                    (f"sum(rate(sockudo_new_disconnections_total{{{_APP},{_NODE}}}[$__rate_interval]))", "disconnects"),
                ),
            ),
            (
                "Refused clients, by close code",
                "cps",
                (
                    (
                        f"sum by (code) (rate(sockudo_connections_refused_total{{{_NODE}}}[$__rate_interval]))",
                        "{{code}}",
                    ),
                ),
            ),
            (
                "Messages",
                "mps",
                (
                    (f"sum(rate(sockudo_ws_messages_sent_total{{{_APP},{_NODE}}}[$__rate_interval]))", "to clients"),
                    (
                        f"sum(rate(sockudo_ws_messages_received_total{{{_APP},{_NODE}}}[$__rate_interval]))",
                        "from clients",
                    ),
                    (f"sum(rate(sockudo_published_events_total{{{_APP},{_NODE}}}[$__rate_interval]))", "published"),
                ),
            ),
            ("Channels", "none", ((f"sum by (app_id) (sockudo_channels{{{_APP},{_NODE}}})", "{{app_id}}"),)),
            (
                "Requests to the HTTP API, by status",
                "reqps",
                (
                    (
                        f"sum by (status) "
                        f"(rate(sockudo_http_request_duration_seconds_count{{{_NODE}}}[$__rate_interval]))",
                        "{{status}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Webhooks",
        (
            (
                "Deliveries",
                "ops",
                (
                    (
                        f"sum by (outcome) "
                        f"(rate(sockudo_webhook_deliveries_total{{{_APP},{_NODE}}}[$__rate_interval]))",
                        "{{outcome}}",
                    ),
                ),
            ),
            (
                "Share that succeeds",
                "percentunit",
                (
                    (
                        f'sum(rate(sockudo_webhook_deliveries_total{{outcome="delivered",{_APP},{_NODE}}}[$__rate_interval]))'
                        f" / sum(rate(sockudo_webhook_deliveries_total{{{_APP},{_NODE}}}[$__rate_interval]))",
                        "delivered",
                    ),
                ),
            ),
            (
                "From the event to the receiver's 2xx",
                "s",
                tuple(
                    (
                        f"histogram_quantile({share}, sum by (le) "
                        f"(rate(sockudo_webhook_delivery_latency_seconds_bucket{{{_NODE}}}[$__rate_interval])))",
                        f"p{share * 100:g}",
                    )
                    for share in (0.5, 0.95, 0.99)
                ),
            ),
            ("Queue", "none", (("max by (state) (sockudo_webhook_queue_depth)", "{{state}}"),)),
            ("Oldest job that waits", "s", (("max(sockudo_webhook_queue_oldest_seconds)", "oldest"),)),
            ("Deepest lanes", "none", (("topk(10, max by (webhook) (sockudo_webhook_lane_depth))", "{{webhook}}"),)),
            (
                "Failed attempts, by error class",
                "ops",
                (
                    (
                        f'sum by (class) (rate(sockudo_webhook_attempts_total{{outcome!="delivered",{_NODE}}}'
                        "[$__rate_interval]))",
                        "{{class}}",
                    ),
                ),
            ),
            (
                "Dead letters, by endpoint",
                "ops",
                (
                    (
                        f"sum by (webhook) "
                        f"(rate(sockudo_webhook_dead_letters_total{{{_APP},{_NODE}}}[$__rate_interval]))"
                        " * on (webhook) group_left (name) max by (webhook, name) (sockudo_webhook_endpoint_info)",
                        "{{name}} ({{webhook}})",
                    ),
                ),
            ),
            (
                "Events in memory, and lost",
                "none",
                (
                    (f"sum by (instance) (sockudo_webhook_spool_events{{{_NODE}}})", "in memory, {{instance}}"),
                    (f"sum(increase(sockudo_webhook_spool_dropped_total{{{_NODE}}}[$__rate_interval]))", "lost"),
                ),
            ),
            (
                "Requests under way",
                "none",
                ((f"topk(10, sum by (webhook) (sockudo_webhook_in_flight{{{_NODE}}}))", "{{webhook}}"),),
            ),
            (
                "Time of an attempt",
                "s",
                (
                    (
                        "histogram_quantile(0.95, sum by (le, target) "
                        f"(rate(sockudo_webhook_attempt_duration_seconds_bucket{{{_NODE}}}[$__rate_interval])))",
                        "p95, {{target}}",
                    ),
                ),
            ),
            (
                "Circuit breakers that are not closed",
                "none",
                (("max by (webhook) (sockudo_webhook_circuit_state) > 0", "{{webhook}}"),),
            ),
        ),
    ),
    (
        "Nodes",
        (
            (
                "Lag of the event loop, p99",
                "s",
                (
                    (
                        "histogram_quantile(0.99, sum by (le, instance) "
                        f"(rate(sockudo_event_loop_lag_seconds_bucket{{{_NODE}}}[$__rate_interval])))",
                        "{{instance}}",
                    ),
                ),
            ),
            (
                "CPU",
                "percentunit",
                (
                    (
                        f"sum by (instance) (rate(process_cpu_seconds_total{{{_NODE}}}[$__rate_interval]))",
                        "{{instance}}",
                    ),
                ),
            ),
            ("Memory", "bytes", ((f"sum by (instance) (process_resident_memory_bytes{{{_NODE}}})", "{{instance}}"),)),
            ("Nodes", "none", (("max(sockudo_cluster_nodes)", "alive"),)),
            (
                "Seconds without Redis",
                "s",
                (
                    (
                        f"sum by (instance) (increase(sockudo_cluster_gap_seconds_total{{{_NODE}}}[$__rate_interval]))",
                        "{{instance}}",
                    ),
                ),
            ),
            (
                "No file descriptor was free",
                "none",
                (
                    (
                        f"sum by (use) (increase(sockudo_out_of_descriptors_total{{{_NODE}}}[$__rate_interval]))",
                        "{{use}}",
                    ),
                ),
            ),
        ),
    ),
)


def queries() -> Iterator[str]:
    """Yield every query of the dashboard, with Grafana's variables in it."""
    for _, panels in ROWS:
        for _, _, targets in panels:
            yield from (query for query, _ in targets)


def dashboard() -> dict[str, Any]:
    """Return the dashboard, as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS:
        panels.append(_panel(len(panels) + 1, title, "row", {"x": 0, "y": top, "w": 24, "h": 1}))
        top += 1
        for at, (name, unit, targets) in enumerate(row):
            place = {"x": at % 3 * 8, "y": top + at // 3 * 8, "w": 8, "h": 8}
            panel = _panel(len(panels) + 1, name, "timeseries", place)
            panel["datasource"] = _SOURCE
            panel["fieldConfig"] = {"defaults": {"unit": unit, "min": 0}, "overrides": []}
            panel["targets"] = [
                {"refId": chr(65 + number), "expr": query, "legendFormat": legend, "datasource": _SOURCE}
                for number, (query, legend) in enumerate(targets)
            ]
            panels.append(panel)
        top += (len(row) + 2) // 3 * 8
    return {
        "title": "sockudo_py",
        "uid": "sockudo-py",
        "tags": ["sockudo"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
                _variable("instance", "Node", "label_values(sockudo_build_info, instance)"),
                _variable("app", "App", "label_values(sockudo_connected, app_id)"),
            ]
        },
        "panels": panels,
    }


def _panel(number: int, title: str, kind: str, place: dict[str, int]) -> dict[str, Any]:
    return {"id": number, "title": title, "type": kind, "gridPos": place}


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        **{"name": name, "label": label, "type": "query", "datasource": _SOURCE, "refresh": 2},
        **{"query": {"query": query, "refId": name}, "definition": query},
        **{"includeAll": True, "multi": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}},
    }


def text() -> str:
    """Return the text of the file."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text())
