"""Prometheus metrics. Workers share them through files, so any worker answers for all.

prometheus_client reads PROMETHEUS_MULTIPROC_DIR when it is imported: import this module only
after the variable is set.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.core.decision import Decision
from gateway.core.orders import Ended
from gateway.core.reasons import Reason

LATENCY_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

DECISIONS = Counter(
    "spendgate_decisions", "decisions made, by outcome and weightiest reason", ["outcome", "reason"]
)
ALLOWED_MICROS = Counter("spendgate_allowed_micros", "money allowed, in micro-units", ["currency"])
ENDS = Counter("spendgate_hold_ends", "holds ended by a call, by how", ["status"])
CAPTURED_MICROS = Counter("spendgate_captured_micros", "money captured by calls", ["currency"])
STALE = Counter("spendgate_stale_plans", "plans made anew because a version or the time changed")
UNAVAILABLE = Counter("spendgate_unavailable", "decisions that could not be made", ["code"])
REQUESTS = Histogram(
    "spendgate_request_seconds", "time to answer a request", ["route", "status"],
    buckets=LATENCY_BUCKETS_S,
)
LEDGER_RECORDS = Gauge(
    "spendgate_ledger_records", "records written since the writer started",
    multiprocess_mode="mostrecent",
)
LEDGER_STOPPED = Gauge(
    "spendgate_ledger_stopped", "1 when the ledger's writer has stopped at a gap",
    multiprocess_mode="mostrecent",
)
METRICS = (
    DECISIONS,
    ALLOWED_MICROS,
    ENDS,
    CAPTURED_MICROS,
    STALE,
    UNAVAILABLE,
    REQUESTS,
    LEDGER_RECORDS,
    LEDGER_STOPPED,
)
HOLD_STATUS = ("held", "captured", "released", "expired")


class PrometheusHooks:
    """Hooks that count. Children are looked up once: labels are few."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[bool, int], Counter] = {}
        self._latency: dict[tuple[str, int], Histogram] = {}

    def on_decision(self, decision: Decision) -> None:
        """Count it by outcome and reason."""
        code = decision.reasons[0].code if decision.reasons else 0
        key = (decision.allowed, code)
        child = self._outcomes.get(key)
        if child is None:
            outcome = "allow" if decision.allowed else "deny"
            child = DECISIONS.labels(outcome, Reason(code).name if code else "none")
            self._outcomes[key] = child
        child.inc()
        if decision.allowed:
            ALLOWED_MICROS.labels(decision.asked.currency).inc(decision.asked.amount)

    def on_end(self, ended: Ended) -> None:
        """Count it by status."""
        ENDS.labels(HOLD_STATUS[ended.status]).inc()
        CAPTURED_MICROS.labels(ended.currency).inc(ended.captured)

    def on_stale(self) -> None:
        """Count it."""
        STALE.inc()

    def on_unavailable(self, code: str) -> None:
        """Count it by code."""
        UNAVAILABLE.labels(code).inc()

    def on_request(self, route: str, status: int, seconds: float) -> None:
        """Observe its latency."""
        child = self._latency.get((route, status))
        if child is None:
            child = self._latency[(route, status)] = REQUESTS.labels(route, str(status))
        child.observe(seconds)


def exposition() -> bytes:
    """All workers' metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # has no annotations
    return generate_latest(registry)


def table() -> str:
    """The metrics as a Markdown table."""
    rows = ["| metric | labels | meaning |", "|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(metric._labelnames)
        rows.append(f"| `{metric._name}` | {labels} | {metric._documentation} |")
    return "\n".join(rows)
