"""Numbers about the process, as Prometheus reads them."""

import time
from collections.abc import Iterator
from typing import Final

import flask
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from api.parts import Parts
from ledger.drift import AlarmCode, DriftSummary, Standing
from ledger.store import StoreError

# From what the disk takes to what people give up at.
_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class _LedgerCollector(Collector):
    """Asks the ledger and its views when somebody reads the numbers."""

    def __init__(self, parts: Parts) -> None:
        """Ask these."""
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        """The numbers as they are now."""
        ledger, views = self._parts.ledger, self._parts.views
        yield GaugeMetricFamily("ledger_commands_waiting", "Commands that wait to be decided", ledger.waiting)
        try:
            head, statuses = ledger.head(), views.status()
            published = None if self._parts.kafka is None else self._parts.kafka()
            inbox = self._parts.inbox.counts()
            report = None if self._parts.drift is None else self._parts.drift.latest()
        except (StoreError, SQLAlchemyError):
            # The requests are counted all the same, so that the outage shows in them.
            return
        yield GaugeMetricFamily("ledger_head_position", "Position of the ledger's last event", head.position)
        positions = GaugeMetricFamily("ledger_view_position", "Position of the last event in a view", labels=["view"])
        events = GaugeMetricFamily("ledger_view_lag_events", "Events that a view has not applied", labels=["view"])
        seconds = GaugeMetricFamily("ledger_view_lag_seconds", "How long the oldest of them waits", labels=["view"])
        for view in statuses:
            positions.add_metric([view.name], view.position)
            events.add_metric([view.name], view.lag_events)
            seconds.add_metric([view.name], view.lag_seconds)
        yield from (positions, events, seconds)
        messages = GaugeMetricFamily("ledger_inbox_messages", "Messages in the inbox", labels=["status"])
        for status, number in inbox.by_status.items():
            messages.add_metric([status.value], number)
        yield messages
        yield GaugeMetricFamily("ledger_inbox_parked_long", "Parked for more than a day", inbox.parked_long)
        yield GaugeMetricFamily("ledger_inbox_waiting_long", "Waiting for more than a day", inbox.waiting_long)
        if published is not None:
            yield GaugeMetricFamily("ledger_kafka_position", "Position of the last event published", published.position)
            yield GaugeMetricFamily("ledger_kafka_lag_events", "Events that Kafka has not got", published.lag_events)
        if report is not None:
            yield from _of_drift(report)


def _of_drift(report: DriftSummary) -> Iterator[Metric]:
    yield GaugeMetricFamily("ledger_drift_agrees", "Whether the last reconciliation agrees with AWS", report.agrees)
    yield GaugeMetricFamily(
        "ledger_drift_finished_timestamp_seconds", "When it was done", report.finished_at.timestamp()
    )
    differences = GaugeMetricFamily("ledger_drift_differences", "What it found", labels=["standing"])
    for standing in Standing:
        differences.add_metric([standing.value], report.counts.get(standing, 0))
    alarms = GaugeMetricFamily("ledger_drift_alarm", "Whether it raised this alarm", labels=["alarm"])
    raised = {alarm.code for alarm in report.alarms}
    for code in AlarmCode:
        alarms.add_metric([code.value], code in raised)
    yield from (differences, alarms)


def register(app: flask.Flask, parts: Parts) -> None:
    """Count the requests of this app, and answer `/metrics`."""
    registry = CollectorRegistry(auto_describe=False)
    requests = Counter("ledger_http_requests", "Requests answered", ["method", "route", "status"], registry=registry)
    seconds = Histogram("ledger_http_request_seconds", "Time to answer", ["route"], registry=registry, buckets=_SECONDS)
    ProcessCollector(registry=registry)
    registry.register(_LedgerCollector(parts))

    def count(response: flask.Response) -> flask.Response:
        # Made-up paths and methods would each be a series of their own.
        rule = flask.request.url_rule
        route, method = (rule.rule, flask.request.method) if rule is not None else ("none", "any")
        requests.labels(method, route, str(response.status_code)).inc()
        seconds.labels(route).observe(time.perf_counter() - flask.g.began)
        return response

    def metrics() -> flask.Response:
        return flask.Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    app.after_request(count)
    app.add_url_rule("/metrics", "metrics", metrics)
