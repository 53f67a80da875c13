"""The features of models: one ordered list of definitions with three uses.

A definition says what the store counts for the feature (`signals`), how the vector of a waiting
request is computed (`Assembler`), and how a column of the training table is
(`models.feature_table`). A vector uses only what was known before its request.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from types import CodeType
from typing import Any

from models.errors import ModelError

UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
DEAR_PERCENT = 50
"""Products at or above this percentage of the dearest product's price are of the dear tier."""


@dataclass(frozen=True)
class Signal:
    """A velocity counter of an entity in a window before a request; `str` is its name in rules.

    `kind` is count, cost (micros), denied, distinct or known (of the members `of`), events or total
    (of the event type `of`; total in micros) or age (ms). `same` narrows it to requests of the same
    product, tier, size or hour. A window is estimated from two fixed buckets, the older one by its
    overlap, rounded down. Distinct counts are exact up to 128 members.
    """

    kind: str
    entity: str
    window: str
    of: str = ""
    same: str = ""

    def __str__(self) -> str:
        of = f'"{self.of}", by ' if self.of else ""
        same = f'same "{self.same}", ' if self.same else ""
        return f'velocity.{self.kind}({of}"{self.entity}", {same}{self.window})'

    @property
    def width_ms(self) -> int:
        """Length of the window in ms."""
        return int(self.window[:-1]) * UNITS_MS[self.window[-1]]


@dataclass(frozen=True)
class Formula:
    """An operation on inputs: signals, or facts by their names. A missing input is NaN.

    `value` (times scale) · `ratio` (scale x first / second) · `against_mean` (first against second
    / third) · `dear_share` (the share of the dear tier; first / second is that of the request's own
    tier, and the third, its relative price in percent, says which tier that is) · `unlike` (1 where
    two texts differ) · `absent` (1 where it is 0). A division by 0 gives NaN.
    """

    op: str
    inputs: tuple[Signal | str, ...]
    scale: float = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs among the facts of a request."""
        return tuple(str(one) for one in self.inputs)


@dataclass(frozen=True)
class FeatureSpec:
    """Definition of one feature: its name, unit, source and default.

    `type` is micros, count, share (of 1, or a ratio), flag (0 or 1), hours or percent. `default`
    replaces a missing value; NaN leaves it to the model.
    """

    name: str
    type: str
    source: Formula
    default: float = math.nan

    @property
    def signals(self) -> tuple[Signal, ...]:
        """Signals that the store has to count for it."""
        return tuple(one for one in self.source.inputs if isinstance(one, Signal))

    @property
    def entity(self) -> str:
        """Entity of its first signal, "" if it has none."""
        return self.signals[0].entity if self.signals else ""

    @property
    def window(self) -> str:
        """Window of its first signal, "" if it has none."""
        return self.signals[0].window if self.signals else ""

    def __str__(self) -> str:
        source = f"{self.source.op}({', '.join(self.source.names)}) * {self.source.scale!r}"
        return f"{self.name}: {self.type} = {source}, else {self.default!r}"


def _spec(name: str, kind: str, op: str, *inputs: Signal | str, scale: float = 1.0) -> FeatureSpec:
    return FeatureSpec(name, kind, Formula(op, inputs, scale))


def _velocities() -> Iterable[FeatureSpec]:
    for entity in ("key", "user", "org", "ip"):
        for window, shown in (("1m", "1m"), ("1h", "1h"), ("1d", "24h")):
            for kind, unit in (("count", "count"), ("cost", "micros")):
                signal = Signal(kind, entity, window)
                yield _spec(f"{entity}_{kind}_{shown}", unit, "value", signal)


COST_7D, COUNT_7D = Signal("cost", "org", "7d"), Signal("count", "org", "7d")
COST_30D, COUNT_30D = Signal("cost", "org", "30d"), Signal("count", "org", "30d")
HOUR = 1 / 3_600_000

FEATURES: tuple[FeatureSpec, ...] = (
    _spec("amount", "micros", "value", "amount"),
    _spec("tokens", "count", "value", "tokens"),
    _spec("dearness", "percent", "value", "dearness"),
    _spec("hour", "count", "value", "hour"),
    _spec("weekday", "count", "value", "weekday"),
    _spec("is_free", "flag", "value", "org.is_free"),
    _spec("org_age_h", "hours", "value", "org.age", scale=HOUR),
    _spec("key_age_h", "hours", "value", Signal("age", "key", "90d"), scale=HOUR),
    *_velocities(),
    _spec("amount_vs_mean_7d", "share", "against_mean", "amount", COST_7D, COUNT_7D),
    _spec("day_vs_week", "share", "ratio", Signal("cost", "org", "1d"), COST_7D, scale=7.0),
    _spec("week_vs_month", "share", "ratio", COST_7D, COST_30D, scale=30 / 7),
    _spec("size_share_7d", "share", "ratio", Signal("count", "org", "7d", same="size"), COUNT_7D),
    _spec(
        "hour_share_7d",
        "share",
        "ratio",
        Signal("count", "org", "7d", same="hour"),
        COUNT_7D,
        scale=24.0,
    ),
    *(
        _spec(
            f"dear_share_{shown}",
            "share",
            "dear_share",
            Signal("cost", "org", window, same="tier"),
            Signal("cost", "org", window),
            "dearness",
        )
        for window, shown in (("1h", "1h"), ("1d", "24h"))
    ),
    _spec("key_ips_24h", "count", "value", Signal("distinct", "key", "1d", of="ip")),
    _spec("key_asns_7d", "count", "value", Signal("distinct", "key", "7d", of="asn")),
    _spec("key_networks_7d", "count", "value", Signal("distinct", "key", "7d", of="network")),
    _spec("new_asn", "flag", "absent", Signal("known", "key", "7d", of="asn")),
    _spec("new_network", "flag", "absent", Signal("known", "key", "7d", of="network")),
    _spec("ip_keys_24h", "count", "value", Signal("distinct", "ip", "1d", of="key")),
    _spec("foreign", "flag", "unlike", "context.country", "org.country"),
    _spec("datacentre", "flag", "value", "context.asn in @datacentres"),
    _spec("disposable_mail", "flag", "value", "context.email_domain in @disposable_mail"),
    _spec("declines_24h", "count", "value", Signal("events", "org", "1d", of="payment_declined")),
    _spec("paid_90d", "micros", "value", Signal("total", "org", "90d", of="payment_succeeded")),
    _spec("free_share", "share", "value", "free_share"),
    _spec("held", "micros", "value", "held"),
    _spec("open_holds", "count", "value", "open_holds"),
    _spec(
        "denied_share_10m",
        "share",
        "ratio",
        Signal("denied", "org", "10m"),
        Signal("count", "org", "10m"),
    ),
    _spec(
        "org_fraud_7d",
        "share",
        "ratio",
        Signal("events", "org", "7d", of="labelled_fraud"),
        COUNT_7D,
    ),
    _spec(
        "org_fraud_30d",
        "share",
        "ratio",
        Signal("events", "org", "30d", of="labelled_fraud"),
        COUNT_30D,
    ),
    _spec(
        "asn_fraud_30d",
        "share",
        "ratio",
        Signal("events", "asn", "30d", of="labelled_fraud"),
        Signal("count", "asn", "30d"),
    ),
)
"""All features, in the order of the vector."""

BY_NAME: Mapping[str, FeatureSpec] = {spec.name: spec for spec in FEATURES}
TEXTS = ("context.country", "org.country")
"""Inputs that are texts; all others are numbers."""


def specs_of(
    names: Sequence[str], known: Mapping[str, FeatureSpec] = BY_NAME
) -> tuple[FeatureSpec, ...]:
    """Return the features of these names. Raises ModelError if one is not known here."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ModelError(f"the model reads {', '.join(unknown)}, which nobody here counts")
    return tuple(known[name] for name in names)


def schema_of(specs: Iterable[FeatureSpec]) -> str:
    """Return a digest of features in their order and of their full definitions."""
    return hashlib.sha256("\n".join(map(str, specs)).encode()).hexdigest()[:16]


def reads_of(specs: Iterable[FeatureSpec]) -> tuple[str, ...]:
    """Return the names of all inputs of the features, each once, in their order."""
    return tuple(dict.fromkeys(name for spec in specs for name in spec.source.names))


_TERMS = {
    # Integers become floats first, since the training table has floats only.
    "value": "{0} * {scale}",
    "ratio": "({0} * {scale} / {1} if {1} else nan)",
    "against_mean": "({0} * 1.0 * {2} / {1} if {1} else nan)",
    "dear_share": "(({0} / {1} if {2} >= {dear} else 1.0 - {0} / {1}) if {1} else nan)",
    "unlike": "(nan if {0} is None or {1} is None else 0.0 if {0} == {1} else 1.0)",
    "absent": "1.0 - {0}",
}
"""Each operation as a Python expression; `models.feature_table` has the same by columns."""


class Assembler:
    """Computes the vector of some features from a request's facts; immutable once made."""

    def __init__(self, specs: Sequence[FeatureSpec], code: CodeType | None = None) -> None:
        names = reads_of(specs)
        missing = {name: None if name in TEXTS else math.nan for name in names}
        take = itemgetter(*names) if len(names) > 1 else lambda facts: (facts[names[0]],)
        scope: dict[str, Any] = {"nan": math.nan, "missing": missing, "take": take}
        exec(code or vector_code(specs), scope)  # noqa: S102  of this module's constants alone, never of a file
        self.vector: Callable[[Mapping[str, Any]], tuple[float, ...]] = scope["vector"]
        """Returns the values of the features in their order, from facts by name."""


def vector_code(specs: Sequence[FeatureSpec]) -> CodeType:
    """Compile `vector(facts)`; it takes some milliseconds in which no request is answered."""
    return compile(source_of(specs), "<features>", "exec")


def source_of(specs: Sequence[FeatureSpec]) -> str:
    """Return the source of `vector(facts)`."""
    places = {name: f"v{at}" for at, name in enumerate(reads_of(specs))}
    taken = "".join(f"{place}, " for place in places.values())
    lines = ["def vector(facts):", f"    {taken}= take({{**missing, **facts}})"]
    values = []
    for spec in specs:
        told = _TERMS[spec.source.op].format(
            *(places[name] for name in spec.source.names),
            scale=repr(spec.source.scale),
            dear=DEAR_PERCENT,
        )
        if not math.isnan(spec.default):
            told = f"({told}) if ({told}) == ({told}) else {spec.default!r}"
        values.append(told)
    return "\n".join([*lines, f"    return ({', '.join(values)},)", ""])
