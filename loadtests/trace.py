"""The bundled hour of real LLM requests, and list prices: what the callers' sizes come from."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import dataclass
from pathlib import Path

DEMO = Path(__file__).parents[1] / "gateway" / "cli" / "demo"


@dataclass(frozen=True)
class Request:
    """One request of the trace: when it came, and what it turned out to use."""

    at_ms: int
    input_tokens: int
    output_tokens: int


def read_requests() -> list[Request]:
    """The whole trace, in order of time."""
    with (DEMO / "llm_hour.csv").open(encoding="utf-8", newline="") as file:
        return [
            Request(**{name: int(n) for name, n in row.items()}) for row in csv.DictReader(file)
        ]


def read_prices() -> dict[str, dict[str, int]]:
    """Product → unit → micro-units of a dollar per million."""
    prices: dict[str, dict[str, int]] = json.loads((DEMO / "list_prices.json").read_text("utf-8"))
    return prices


class Sizes:
    """Requests drawn from the trace at random; the same seed draws the same ones."""

    def __init__(self, requests: list[Request], seed: int) -> None:
        self._requests = requests
        self._chance = random.Random(seed)

    def draw(self) -> Request:
        """The next request."""
        return self._chance.choice(self._requests)
