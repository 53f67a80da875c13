"""Prometheus metrics of all processes of a deployment.

Each process counts in plain integers, which costs next to nothing, and writes its counts to a file
of its own every second. The process that answers /metrics sums the files. A file outlives its
process, so totals never fall while the deployment runs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from gateway.core.commands import Ended, Mode
from gateway.core.reasons import Reason
from gateway.core.request_record import RequestRecord, Risk

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
HOLD_STATUS = ("held", "captured", "released", "expired")

COUNTERS: dict[str, tuple[tuple[str, ...], str]] = {
    "spendgate_decisions": (("outcome", "reason"), "decisions made, by weightiest reason"),
    "spendgate_allowed_micros": (("currency",), "money allowed, in micro-units"),
    "spendgate_rule_matches": (("ruleset", "rule"), "requests that a rule in force matched"),
    "spendgate_rule_micros": (("ruleset", "rule"), "cost of matched requests, in micro-units"),
    "spendgate_shadow_matches": (("ruleset", "rule"), "requests that a rule in shadow matched"),
    "spendgate_scored": (("model",), "requests that a model scored"),
    "spendgate_unscored": ((), "requests without a score although a model is in force"),
    "spendgate_rules_unknown": (("ruleset",), "rules that were unknown because facts were missing"),
    "spendgate_hold_ends": (("status",), "holds ended by a call"),
    "spendgate_captured_micros": (("currency",), "money captured by calls, in micro-units"),
    "spendgate_stale_plans": ((), "plans compiled again because a version or the time changed"),
    "spendgate_unavailable": (("code",), "decisions that could not be made"),
    "spendgate_stand_in_approvals": ((), "requests allowed while the store was down"),
    "spendgate_stand_in_micros": (("currency",), "money of those requests, in micro-units"),
    "spendgate_stand_in_charged": ((), "stand-in approvals charged afterwards"),
    "spendgate_reversed": ((), "decisions reversed because their answer was lost"),
    "spendgate_ledger_records": ((), "records the ledger's writer has written"),
    "spendgate_store_clock_jumps": ((), "times that the store's clock jumped"),
    "spendgate_reconcile_orgs": ((), "orgs whose hot state was compared with the ledger"),
}
LEDGER_STOPPED = "spendgate_ledger_stopped"
DRIFT_SCORE = "spendgate_model_score_psi"
DRIFT_FEATURE = "spendgate_model_feature_psi"
UNSETTLED = "spendgate_unsettled"
DIFFERENCES = "spendgate_reconcile_differences"
STORE_MEMORY = "spendgate_store_memory_bytes"
STORE_MEMORY_MOST = "spendgate_store_memory_bound_bytes"
GAUGES: dict[str, tuple[tuple[str, ...], str]] = {
    LEDGER_STOPPED: ((), "1 when the ledger's writer has stopped at a gap"),
    DRIFT_SCORE: ((), "stability index of the model's scores against its training; 0.25 alarms"),
    DRIFT_FEATURE: ((), "the largest stability index of a feature's"),
    STORE_MEMORY: ((), "memory that the store uses"),
    STORE_MEMORY_MOST: ((), "the most it may use before new requests are refused; 0: no bound"),
    UNSETTLED: ((), "decisions made in an outage that are not reversed or charged yet"),
    DIFFERENCES: ((), "differences between hot state, ledger and decisions, as last compared"),
}
LATENCY = "spendgate_request_seconds"
LATENCY_LABELS = ("route", "status")
LATENCY_MEANING = "time to answer a request"


class ProcessCounts(msgspec.Struct):
    """Counts of one process. A key is a metric's name and its label values, joined by newlines."""

    counters: dict[str, float] = {}
    gauges: dict[str, float] = {}
    latency: dict[str, list[float]] = {}
    """By key: one count for each bucket, one for +Inf, and the sum of seconds."""


class CountingHooks:
    """Hooks that count in memory; `write` saves the counts to `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decisions: dict[tuple[bool, int], int] = defaultdict(int)
        self._counters: dict[str, float] = defaultdict(float)
        self._gauges: dict[str, float] = {}
        self._latency: dict[tuple[str, int], list[float]] = {}

    def on_decision(self, asked: RequestRecord, allowed: bool, code: int) -> None:
        """Count a decision by outcome and reason."""
        self._decisions[allowed, code] += 1
        if allowed and asked.mode != Mode.DRY:
            currency = asked.terms.currency
            self._counters[f"spendgate_allowed_micros\n{currency}"] += asked.amount
        if asked.risk is not None:
            self._count_rules(asked.risk, asked.amount)

    def _count_rules(self, risk: Risk, amount: int) -> None:
        counters, ruleset = self._counters, risk.ruleset
        for rule in risk.rules:
            counters[f"spendgate_rule_matches\n{ruleset}\n{rule}"] += 1
            counters[f"spendgate_rule_micros\n{ruleset}\n{rule}"] += amount
        for shadow in risk.shadows:
            for rule in shadow.rules:
                counters[f"spendgate_shadow_matches\n{shadow.ruleset}\n{rule}"] += 1
        if risk.score is not None:
            counters[f"spendgate_scored\n{risk.model}"] += 1
        elif risk.is_degraded:
            counters["spendgate_unscored"] += 1
        if risk.unknown:
            counters[f"spendgate_rules_unknown\n{ruleset}"] += risk.unknown

    def on_end(self, ended: Ended) -> None:
        """Count a hold's end by status."""
        self._counters[f"spendgate_hold_ends\n{HOLD_STATUS[ended.status]}"] += 1
        self._counters[f"spendgate_captured_micros\n{ended.currency}"] += ended.captured

    def on_stale(self) -> None:
        """Count a stale plan."""
        self._counters["spendgate_stale_plans"] += 1

    def on_unavailable(self, code: str) -> None:
        """Count a decision that could not be made, by code."""
        self._counters[f"spendgate_unavailable\n{code}"] += 1

    def on_stand_in(self, currency: str, micros: int) -> None:
        """Count a stand-in approval and its money (micros)."""
        self._counters["spendgate_stand_in_approvals"] += 1
        self._counters[f"spendgate_stand_in_micros\n{currency}"] += micros

    def on_stand_in_charged(self) -> None:
        """Count a charge of a stand-in approval."""
        self._counters["spendgate_stand_in_charged"] += 1

    def on_reversed(self) -> None:
        """Count a reversal."""
        self._counters["spendgate_reversed"] += 1

    def on_request(self, route: str, status: int, seconds: float) -> None:
        """Count a request in its latency bucket (seconds)."""
        found = self._latency.get((route, status))
        if found is None:
            found = self._latency[route, status] = [0.0] * (len(BUCKETS_S) + 2)
        found[bisect_left(BUCKETS_S, seconds)] += 1
        found[-1] += seconds

    def set_ledger(self, written: int, is_stopped: bool) -> None:
        """Set how many records the ledger writer has written, and whether it stopped at a gap."""
        self._counters["spendgate_ledger_records"] = written
        self._gauges[LEDGER_STOPPED] = 1.0 if is_stopped else 0.0

    def on_clock_jump(self) -> None:
        """Count a jump of the store's clock."""
        self._counters["spendgate_store_clock_jumps"] += 1

    def set_memory(self, used: int, most: int) -> None:
        """Set the memory that the store uses, and its bound (bytes; 0: no bound)."""
        self._gauges[STORE_MEMORY] = used
        self._gauges[STORE_MEMORY_MOST] = most

    def set_unsettled(self, decisions: int) -> None:
        """Set how many decisions of an outage this worker still has to reverse or charge."""
        self._gauges[UNSETTLED] = decisions

    def set_reconcile(self, orgs: int, differences: int) -> None:
        """Set how many orgs reconciliation has compared, and how many differences it found."""
        self._counters["spendgate_reconcile_orgs"] = orgs
        self._gauges[DIFFERENCES] = differences

    def set_drift(self, score: float, feature: float) -> None:
        """Set the stability indices of the model's score and of its most shifted feature."""
        self._gauges[DRIFT_SCORE] = score
        self._gauges[DRIFT_FEATURE] = feature

    def write(self) -> None:
        """Write the counts to this process's file, for the process that answers /metrics.

        The file is replaced as a whole, so that a reader never sees half of it.
        """
        counters = dict(self._counters)
        for (allowed, code), count in self._decisions.items():
            outcome, reason = "allow" if allowed else "deny", Reason(code).name if code else "none"
            counters[f"spendgate_decisions\n{outcome}\n{reason}"] = count
        latency = {f"{route}\n{status}": n for (route, status), n in self._latency.items()}
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(ProcessCounts(counters, self._gauges, latency)))
        fresh.replace(self._path)


class _Sum:
    """Prometheus collector that sums the files of a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, summed over the processes."""
        total = ProcessCounts({}, {}, {})
        for tally in _all_counts(self._directory):
            for into, of in ((total.counters, tally.counters), (total.gauges, tally.gauges)):
                for key, value in of.items():
                    into[key] = into.get(key, 0) + value
            for key, numbers in tally.latency.items():
                before = total.latency.get(key, [0.0] * len(numbers))
                total.latency[key] = [a + b for a, b in zip(before, numbers, strict=True)]
        yield from _families(total)


def gauge(directory: Path, name: str) -> float:
    """Return a gauge, summed over what the processes last wrote; 0 if none did."""
    return sum(tally.gauges.get(name, 0.0) for tally in _all_counts(directory))


def _all_counts(directory: Path) -> Iterator[ProcessCounts]:
    """Yield the counts in all readable files; skip the torn ones that a full disk can leave."""
    for path in directory.glob("*.json"):
        with suppress(OSError, msgspec.DecodeError):
            yield msgspec.json.decode(path.read_bytes(), type=ProcessCounts)


def _families(total: ProcessCounts) -> Iterator[Metric]:
    for name, (labels, meaning) in COUNTERS.items():
        counter = CounterMetricFamily(name, meaning, labels=labels)
        for key, value in total.counters.items():
            metric, *values = key.split("\n")
            if metric == name:
                counter.add_metric(values, value)
        yield counter
    for name, (labels, meaning) in GAUGES.items():
        gauge = GaugeMetricFamily(name, meaning, labels=labels)
        if name in total.gauges:
            gauge.add_metric([], total.gauges[name])
        yield gauge
    histogram = HistogramMetricFamily(LATENCY, LATENCY_MEANING, labels=LATENCY_LABELS)
    for key, numbers in total.latency.items():
        running, buckets = 0.0, []
        for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], numbers[:-1], strict=True):
            running += count
            buckets.append((bound, running))
        histogram.add_metric(key.split("\n"), buckets, numbers[-1])
    yield histogram


def exposition(directory: Path) -> bytes:
    """Return the deployment's metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Sum(directory))
    return generate_latest(registry)


def table() -> str:
    """Return the metrics as a Markdown table."""
    rows = ["| metric | labels | meaning |", "|---|---|---|"]
    every = {**COUNTERS, **GAUGES, LATENCY: (LATENCY_LABELS, LATENCY_MEANING)}
    for name, (labels, meaning) in every.items():
        shown = f"{name}_total" if name in COUNTERS else name
        rows.append(f"| `{shown}` | {', '.join(labels)} | {meaning} |")
    return "\n".join(rows)
