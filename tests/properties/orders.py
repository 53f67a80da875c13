"""Random orders to a store, as a stream that both stores can be given, and their comparison."""

from __future__ import annotations

import random

from gateway.core import ids
from gateway.core.commands import (
    AdjustOrder,
    EventOrder,
    Finish,
    GrantOrder,
    Idempotency,
    Mode,
    Plan,
    PlanTemplate,
    Version,
    VoidOrder,
)
from gateway.core.counters import (
    GAUGE,
    MONEY,
    NO_LIMIT,
    ONE,
    SET_ASIDE,
    SLIDING,
    SLOT,
    TOKENS,
    UNITS,
    WINDOW,
    Counter,
    Source,
    shares_of,
)
from gateway.core.entities import Grant
from gateway.core.holds import Step
from gateway.core.velocity import (
    COUNTED,
    DISTINCT,
    FIRST,
    IF_REFUSED,
    LISTED,
    ONE_MORE,
    SIGNAL,
    Entry,
    Past,
    VelocityCounter,
)
from gateway.store import keys
from gateway.store.memory import MemoryStore
from tests.stores import ClockedRedis, dump_memory, dump_redis, dump_shared

START_MS = 4_000_000_000_000
"""Far ahead of the server's own clock, which must not expire anything meanwhile."""
ORGS = ("acme", "b:c", "zed-1")
BIG = 2**53 - 1
SIGNALS = (("s/o", 600_000, "3"), ("s/k/k1", 7_000, "4"), ("s/k/k2", 10**9, "5"))


class Life:
    """A stream of random orders, many of them at edges: limits met exactly, same times, repeats."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now_ms = START_MS
        self.serial = 0
        self.holds: list[tuple[str, str]] = []
        self.grants: list[tuple[str, str]] = []
        self.versions = dict.fromkeys(ORGS, 0)
        self.past: list[PlanTemplate] = []

    def org(self) -> str:
        return self.chance.choice(ORGS)

    def amount(self) -> int:
        return self.chance.choice(
            [0, 1, 7, 50, 75, 100, 333, 1000, 10**6, self.chance.randrange(5000)]
        )

    def tick(self) -> int:
        self.now_ms += self.chance.choice(
            [0, 0, 1, 5, 100, 999, 1000, 4000, 30_000, 61_000, 400_000]
        )
        return self.now_ms

    def idempotency(self, kind: str) -> Idempotency | None:
        if self.chance.random() < 0.6:
            return None
        name = f"k/{kind}{self.chance.randrange(8)}"
        return Idempotency(
            name, bytes([self.chance.randrange(2)]) * 16, self.chance.choice([1000, 600_000])
        )

    def sources(self, org: str) -> tuple[Source, ...]:
        period = START_MS // 86_400_000
        found = [
            Source(f"i/m/{period}", -self.chance.choice([0, 500, 5000]), START_MS + 10**9, True)
        ]
        found += [Source(f"g/{g}", 0, 0, True) for o, g in self.grants[-4:] if o == org]
        found += [Source("adjustments"), Source("credit_line", -self.chance.choice([0, 200, BIG]))]
        return tuple(found)

    def counters(self) -> tuple[Counter, ...]:
        limit = self.chance.choice([0, 100, 1000, 20_000, 10**9, NO_LIMIT])
        day, hour = self.now_ms // 86_400_000, self.now_ms // 3_600_000
        day_ends_ms, hour_ends_ms = (day + 1) * 86_400_000, (hour + 1) * 3_600_000
        user = f"co/user/0/hour{hour}"
        few, tokens = self.chance.choice([2, 5, 100]), self.chance.choice([2000, BIG])
        found = [
            Counter(f"co/day/0/day{day}/", WINDOW, MONEY, limit, day_ends_ms + 7_200_000, True),
            Counter("co/life/0/lifetime0/", WINDOW, MONEY, NO_LIMIT, 0, True),
            Counter(
                f"{user}/u{self.chance.randrange(3)}",
                WINDOW,
                MONEY,
                self.chance.choice([500, NO_LIMIT]),
                hour_ends_ms + 7_200_000,
                True,
                f"t/{user}",
            ),
            Counter("ro/r/0/requests60/", SLIDING, ONE, few, 60_000),
            Counter("ro/t/0/tokens7/", SLIDING, TOKENS, tokens, 7000, True),
            Counter("ro/c/0/concurrent60/", GAUGE, SLOT, self.chance.choice([5, 50]), 0, True),
            *self.of_units(f"co/images/0/day{day}", day_ends_ms + 7_200_000),
            Counter("held", GAUGE, SET_ASIDE, NO_LIMIT, 0, True),
        ]
        return tuple(c for c in found if c.name == "held" or self.chance.random() < 0.8)

    def of_units(self, images: str, ends_ms: int) -> list[Counter]:
        """Caps and rate limits of units and of money in any time, some by target."""
        most = self.chance.choice([0, 90, 10**6, NO_LIMIT])
        rolling, target = "co/any/0/any9", self.chance.randrange(3)
        return [
            Counter(f"{images}/", WINDOW, UNITS, most, ends_ms, True, units="images"),
            Counter("ro/u/0/a+b7/", SLIDING, UNITS + 1, most, 7000, True, units="a+b"),
            Counter(f"{rolling}/u{target}", SLIDING, MONEY, most, 9000, True, f"t/{rolling}"),
        ]

    def tallies(self, org: str) -> tuple[VelocityCounter, ...]:
        if self.chance.random() < 0.4:
            return ()
        ip = f"ip/{self.chance.randrange(3)}"
        counted = [(org, "w/1.600000/o"), (org, "w/2.7000/k/k1"), ("", f"w/1.600000/{ip}")]
        met = [(org, "d/1.400000.asn/k/k1"), ("", f"d/1.400000.org/{ip}")]
        member = self.chance.choice(["", f"m{self.chance.randrange(300)}"])
        found = [
            VelocityCounter(COUNTED, of, name, int(name.split("/")[1].partition(".")[2]), adds)
            for of, name in counted
            for adds in [self.chance.choice(["", ONE_MORE, ONE_MORE, IF_REFUSED])]
        ]
        found += [VelocityCounter(DISTINCT, of, name, 400_000, member) for of, name in met]
        found.append(VelocityCounter(FIRST, org, "f/1.500000/k/k1", 500_000, ONE_MORE))
        found.append(VelocityCounter(LISTED, "", f"l/bad/{self.chance.randrange(3)}"))
        return tuple(t for t in found if self.chance.random() < 0.7)

    def windows(self) -> tuple[tuple[int, ...], ...]:
        """Of each signal, mostly the same: what is declared changes seldom."""
        some = [(), (3, 600_000), (3, 600_000, 4, 7_000), (4, 7_000), (5, 10**9, 3, 600_000)]
        weights = [4, 1, 8, 1, 2]
        return tuple(self.chance.choices(some, weights, k=self.chance.choice([0, 2, 2, 2])))

    def plan(self) -> Plan:
        org, amount = self.org(), self.amount()
        mode = self.chance.choice([Mode.HOLD, Mode.HOLD, Mode.HOLD, Mode.CAPTURE, Mode.DRY])
        extends = bool(self.holds) and self.chance.random() < 0.2
        self.serial += 1
        hold_id = ids.HOLD + ids.make(self.now_ms, keys.shard_of(org), self.serial)
        if extends:
            mode = Mode.HOLD
            org, hold_id = self.chance.choice(self.holds[-30:])
        elif mode is Mode.HOLD:
            self.holds.append((org, hold_id))
        ttl_ms = self.chance.choice([1000, 30_000, 300_000, 10_000_000])
        needs = PlanTemplate(
            org=org,
            book=self.chance.choice([org, org, "~free"]),
            currency="USD",
            product="gpt",
            counters=self.counters(),
            sources=self.sources(org),
            versions=(Version("org", org, self.versions[org]), Version("plan", "payg", 0)),
            signals=("o", "k/k1")[: self.chance.randrange(3)],
            valid_from_ms=self.now_ms - 1000,
            valid_until_ms=self.now_ms + self.chance.choice([0, 5000, 10**7, 10**7]),
            record=self.chance.choice([b"terms: ", b"other terms: "]),
            brief=b"brief: ",
        )
        if self.past and self.chance.random() < 0.4:
            # The same needs again: the store knows them by then, or has forgotten them.
            known = self.chance.choice(self.past[-5:])
            if known.org == org:
                needs = known
        self.past.append(needs)
        settles = mode is Mode.CAPTURE or (mode is Mode.DRY and self.chance.random() < 0.5)
        return Plan(
            needs,
            hold_id=hold_id,
            amount=amount,
            shares=self.shares(amount, settles=settles),
            not_after_ms=self.now_ms + self.chance.choice([0, 1000, 1000, 1000, 1000]),
            hold_ttl_ms=0 if extends and self.chance.random() < 0.5 else ttl_ms,
            asked=b"asked %d" % self.serial,
            mode=mode,
            refused=self.chance.random() < 0.1,
            probe=self.chance.random() < 0.1,
            extends=extends,
            idempotency=self.idempotency("plan"),
            tallies=self.tallies(org),
            windows=self.windows(),
            version=self.chance.choice([6, 6, 6, 4, 3]),
        )

    def shares(self, amount: int, *, settles: bool) -> tuple[int, ...]:
        units = (self.amount(), self.amount())
        return shares_of(amount, self.amount(), settles=settles) + units

    def finals(self) -> dict[int | str, int]:
        """What a capture leaves, by measure; some are not known, as of a capture in money."""
        finals: dict[int | str, int] = {}
        for measure in (TOKENS, "images", "a+b"):
            if self.chance.random() < 0.7:
                finals[measure] = self.chance.choice([0, 40, 10**5, BIG])
        return finals

    def finish(self) -> Finish:
        org, hold_id = self.chance.choice(self.holds[-40:])
        step = self.chance.choice([Step.capture, Step.capture, Step.release])
        cost = self.amount() if step is Step.capture else 0
        return Finish(
            org,
            hold_id,
            step,
            cost,
            self.finals(),
            self.sources(org),
            (Version("org", org, self.versions[org]),),
            has_sources=self.chance.random() < 0.8,
            body=b"end",
            idempotency=self.idempotency("finish"),
        )

    def grant(self) -> GrantOrder:
        org = self.org()
        self.serial += 1
        expires_ms = self.chance.choice([None, self.now_ms + 5000, self.now_ms + 200_000])
        kind = self.chance.choice(["paid", "promotional"])
        given = Grant(
            f"grant_{self.serial}", kind, 1 + self.amount(), 10, self.now_ms, None, expires_ms,
            level=self.chance.choice(["", "", "user"]),
        )  # fmt: skip
        self.grants.append((org, given.id))
        return GrantOrder(org, "USD", given, b"meta", b"why", self.idempotency("grant"))

    def void(self) -> VoidOrder:
        org, grant_id = self.chance.choice(self.grants)
        return VoidOrder(org, "USD", grant_id, b"", self.idempotency("void"))

    def adjust(self) -> AdjustOrder:
        org = self.org()
        target = self.chance.choice([None, None, 0, 50, 5000, BIG])
        return AdjustOrder(
            org,
            "USD",
            self.sources(org),
            (Version("org", org, self.versions[org]),),
            self.now_ms - 1,
            self.now_ms + 10**6,
            b"note",
            "correction",
            self.chance.choice([-1, 1]) * self.amount(),
            target,
            self.idempotency("adjust"),
        )

    def warm(self) -> list[Past]:
        found, org = [], self.org()
        signals = [VelocityCounter(SIGNAL, org, name, w, s) for name, w, s in SIGNALS]
        for tally in (*self.tallies(org), *(t for t in signals if self.chance.random() < 0.5)):
            if tally.kind in (COUNTED, SIGNAL):
                here = self.now_ms // tally.width_ms
                buckets = {here - back: (3, self.amount()) for back in range(3)}
                found.append(Past(tally, {b: v for b, v in buckets.items() if b % 3}))
            elif tally.kind == DISTINCT:
                some = range(self.chance.choice([1, 3, 140]))
                at_ms = self.now_ms - self.chance.randrange(100_000)
                found.append(Past(tally, members={f"m{n}": at_ms + n for n in some}))
            elif tally.kind == FIRST:
                last_ms = self.now_ms - self.chance.choice([0, 9_000, 499_999, 500_000, 700_000])
                found.append(Past(tally, {0: (last_ms - self.chance.randrange(9000), last_ms)}))
        return found

    def lists(self) -> tuple[Entry, ...]:
        first = self.serial - self.chance.choice([0, 0, 3])
        self.serial += 4
        ends_ms = self.chance.choice([0, 0, self.now_ms + 5000])
        return tuple(
            Entry("bad", str(self.chance.randrange(3)), n, ends_ms, self.chance.random() < 0.4)
            for n in range(first, first + 3)
        )

    def event(self) -> EventOrder:
        org = self.org()
        self.serial += 1
        tallies = tuple(t for t in self.tallies(org) if t.kind == COUNTED)
        at_ms = self.now_ms - self.chance.choice([-9, 0, 500_000, 700_000])
        once = self.idempotency("event")
        made = (org, "login", f"evt_{self.serial}", at_ms, self.amount(), b"happened")
        return EventOrder(*made, tallies, once)

    def order(self) -> object:
        kinds = (
            ["plan"] * 10
            + ["finish"] * 8
            + ["grant"] * 2
            + ["adjust", "void", "sweep", "fence", "warm", "lists", "event", "event"]
        )
        kind = self.chance.choice(kinds)
        if (kind == "finish" and not self.holds) or (kind == "void" and not self.grants):
            kind = "plan"
        if kind == "sweep":
            return "sweep"
        if kind == "fence":
            org = self.org()
            self.versions[org] += self.chance.randrange(2)
            return Version("org", org, self.versions[org] + (self.chance.random() < 0.1))
        return getattr(self, kind)()


async def apply(store: MemoryStore | ClockedRedis, order: object) -> object:
    if order == "sweep":
        return await store.expire(range(keys.SHARDS), 3)
    if isinstance(order, Version):
        return await store.fence(order, (keys.shard_of(order.id),))
    if isinstance(order, tuple):
        return await store.follow(order)
    if isinstance(order, list):
        return await store.backfill(order)
    calls = {
        Plan: store.authorize,
        Finish: store.finish,
        GrantOrder: store.grant,
        VoidOrder: store.void,
        EventOrder: store.event,
        AdjustOrder: store.adjust,
    }
    return await calls[type(order)](order)  # type: ignore[operator]  # by type


async def compare_states(memory: MemoryStore, redis: ClockedRedis) -> None:
    expected: dict[str, object] = {}
    for shard_id, shard in memory.shards.items():
        expected |= dump_memory(shard_id, shard, redis.now_ms)
    expected |= dump_shared(memory.shared, redis.now_ms)
    found = await dump_redis(redis)
    for key in sorted(expected.keys() | found.keys()):
        assert found.get(key) == expected.get(key), key
