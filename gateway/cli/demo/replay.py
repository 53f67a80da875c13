"""Replaying the hour: callers that estimate, stream, give up and lose answers, as real ones do."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.cli.demo.data import TraceRequest, trace
from gateway.cli.demo.world import Customer, customers
from gateway.client import Spendgate

CALLERS = 16
HOLD_TTL_S = 60
STREAM_PIECE = 128
"""Tokens a stream asks for at a time."""
ABANDONED, RETRIED, STREAMED, AT_ONCE = 0.03, 0.05, 0.15, 0.10
UNDECIDED = frozenset({"store_unavailable", "ledger_backlog", "overloaded"})
"""Answers that decide nothing and are not kept: a caller that means well asks again."""
MOST_TRIES = 8
FIRST_PAUSE_S = 0.05


@dataclass(frozen=True)
class Charge:
    """A capture that was acknowledged: what a later audit recomputes."""

    product: str
    discount_bps: int
    quantity: dict[str, int]
    captured_micros: int
    shortfall_micros: int


@dataclass
class Counts:
    """Counts of what callers saw."""

    decisions: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    charges: list[Charge] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    done: int = 0


class Replay:
    """The hour, as fast as `callers` callers can send it. `seed` decides who does what."""

    def __init__(self, gateway: Spendgate, seed: int, on_step: Callable[[Counts], None]) -> None:
        self._gateway = gateway
        self._chance = random.Random(seed)  # noqa: S311  decides no secret
        self._on_step = on_step
        self._customers = customers()
        self._weights = [customer.weight for customer in self._customers]
        self.tally = Counts()

    async def run(self, limit: int | None = None) -> Counts:
        """Send all requests of the trace, or the first `limit`."""
        waiting = asyncio.Queue[tuple[int, TraceRequest, Customer, str, float]]()
        for number, request in enumerate(trace()):
            if limit is not None and number >= limit:
                break
            customer = self._chance.choices(self._customers, self._weights)[0]
            product = self._chance.choice(customer.products)
            waiting.put_nowait((number, request, customer, product, self._chance.random()))
        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(self._call(waiting))
        return self.tally

    async def _call(
        self, waiting: asyncio.Queue[tuple[int, TraceRequest, Customer, str, float]]
    ) -> None:
        while not waiting.empty():
            number, request, customer, product, way = waiting.get_nowait()
            await self._serve(number, request, customer, product, way)
            self.tally.done += 1
            self._on_step(self.tally)

    async def _serve(
        self, number: int, request: TraceRequest, customer: Customer, product: str, way: float
    ) -> None:
        true = {"input_tokens": request.input_tokens, "output_tokens": request.output_tokens}
        if way < AT_ONCE:
            await self._at_once(number, customer, product, true)
        elif way < AT_ONCE + STREAMED:
            await self._stream(number, customer, product, true)
        else:
            rest = way - AT_ONCE - STREAMED
            await self._chat(number, customer, product, true, rest)

    async def _ask(
        self, number: int, customer: Customer, product: str, quantity: Any, **more: Any
    ) -> dict[str, Any]:
        answer = await self._decided(number, customer, product, quantity, **more)
        self.tally.decisions[_reason(answer)] += 1
        return answer

    async def _decided(
        self, number: int, customer: Customer, product: str, quantity: Any, **more: Any
    ) -> dict[str, Any]:
        """Ask, and again under the same key while the store had no time to decide."""
        for attempt in range(MOST_TRIES):
            started = time.perf_counter()
            answer = await self._gateway.authorize(
                customer.subject,
                product,
                key=f"replay-{number}",
                quantity=quantity,
                hold_ttl_s=HOLD_TTL_S,
                context={"ip": f"203.0.113.{number % 200}", "country": "PT"},
                **more,
            )
            self.tally.latencies_s.append(time.perf_counter() - started)
            if _reason(answer) not in UNDECIDED:
                break
            self.tally.ways["asked again, undecided"] += 1
            await asyncio.sleep(FIRST_PAUSE_S * 2**attempt)
        return answer

    async def _chat(
        self, number: int, customer: Customer, product: str, true: dict[str, int], way: float
    ) -> None:
        """Hold an estimate, capture the truth; some give up, some lose the answer and ask again."""
        estimate = {**true, "output_tokens": max(256, 2 * true["output_tokens"])}
        answer = await self._ask(number, customer, product, estimate)
        if way < RETRIED:
            self.tally.ways["retried"] += 1
            again = await self._decided(number, customer, product, estimate)
            if again != answer:
                raise AssertionError(f"request {number} was answered differently the second time")
        if answer["decision"] != "allow":
            return
        if RETRIED <= way < RETRIED + ABANDONED:
            self.tally.ways["abandoned"] += 1
            return
        self.tally.ways["held and captured"] += 1
        await self._capture(number, customer, product, answer["hold"]["id"], true)

    async def _stream(
        self, number: int, customer: Customer, product: str, true: dict[str, int]
    ) -> None:
        """Hold a first piece and extend while tokens come; what was not bought is not sent."""
        first = {**true, "output_tokens": STREAM_PIECE}
        answer = await self._ask(number, customer, product, first, run=f"run-{number % 50}")
        if answer["decision"] != "allow":
            return
        self.tally.ways["streamed"] += 1
        hold, bought = answer["hold"]["id"], STREAM_PIECE
        while bought < true["output_tokens"]:
            piece = {"output_tokens": STREAM_PIECE}
            key = f"replay-{number}-{bought}"
            more = await self._gateway.extend(hold, key=key, quantity=piece)
            if more["decision"] != "allow":
                break
            bought += STREAM_PIECE
        sent = {**true, "output_tokens": min(bought, true["output_tokens"])}
        await self._capture(number, customer, product, hold, sent)

    async def _at_once(
        self, number: int, customer: Customer, product: str, true: dict[str, int]
    ) -> None:
        answer = await self._ask(number, customer, product, true, capture=True)
        if answer["decision"] == "allow":
            self.tally.ways["captured at once"] += 1
            amount = answer["quote"]["amount_micros"]
            self._charged(customer, product, true, (amount, 0), answer["draws"])

    async def _capture(
        self, number: int, customer: Customer, product: str, hold: str, used: dict[str, int]
    ) -> None:
        ended = await self._gateway.capture(hold, key=f"capture-{number}", quantity=used)
        paid = (ended["captured_micros"], ended["shortfall_micros"])
        self._charged(customer, product, used, paid, ended["draws"])

    def _charged(
        self,
        customer: Customer,
        product: str,
        used: dict[str, int],
        paid: tuple[int, int],
        draws: list[dict[str, Any]],
    ) -> None:
        self.tally.charges.append(Charge(product, customer.discount_bps, used, *paid))
        for draw in draws:
            self.tally.sources[kind_of(draw["source"])] += draw["amount_micros"]


def _reason(answer: dict[str, Any]) -> str:
    return answer["reasons"][0]["code"] if answer["reasons"] else "allowed"


def kind_of(source: str) -> str:
    """A source's kind, for the summary."""
    return "grants" if source.startswith("grant_") else source.partition(":")[0]
