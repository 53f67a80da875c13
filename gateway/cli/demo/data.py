"""The bundled trace and price list."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

import msgspec

Prices = dict[str, dict[str, int]]


@dataclass(frozen=True)
class TraceRequest:
    """One request of the trace: when, how long its prompt, how long its answer."""

    at_ms: int
    input_tokens: int
    output_tokens: int


def _text(name: str) -> str:
    return files("gateway.cli.demo").joinpath(name).read_text("utf-8")


def trace() -> Iterator[TraceRequest]:
    """The hour, in order of time."""
    for row in csv.DictReader(_text("llm_hour.csv").splitlines()):
        yield TraceRequest(int(row["at_ms"]), int(row["input_tokens"]), int(row["output_tokens"]))


def list_prices() -> Prices:
    """product → unit → micro-units per million units."""
    return msgspec.json.decode(_text("list_prices.json"), type=Prices)
