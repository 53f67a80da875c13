"""Labels and matches in the catalog, in each database: once each, and the latest label holds."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from gateway.catalog.labels import Label, Labels
from gateway.catalog.rule_matches import ACTIVE, SHADOW, Gathered, Match, Matches
from gateway.core.money import MAX_MICROS
from gateway.sql.engine import Engine

DAY = 20_000
DAYS = (DAY, DAY + 1)


def label(decision: str, what: str, once: str | None = None, digest: str = "d") -> Label:
    return Label(decision, what, 1, 2, "cred_1", once, digest if once else None)


def match(n: int, rule: str, outcome: str = "review", **more: str | int) -> Match:
    about = {"mode": ACTIVE, "day": DAY, "amount": 10, "currency": "USD", **more}
    money = (str(about["currency"]), int(about["amount"]))
    where = ("acme", int(about["day"]), 1_000 + n)
    return Match(f"dec_{n}", "rs_1", rule, str(about["mode"]), outcome, *where, *money)


async def test_one_call_labels_once_however_many_come_at_the_same_time(engine: Engine) -> None:
    labels = Labels(engine)
    kept = await asyncio.gather(
        *(labels.add(label("dec_1", "fraud", "k/1", f"d{n}")) for n in range(8))
    )
    assert len({one.digest for one in kept}) == 1
    assert len(await labels.of_decision("dec_1")) == 1


async def test_the_latest_label_of_a_decision_holds(engine: Engine) -> None:
    labels = Labels(engine)
    for decision, what in (("dec_1", "fraud"), ("dec_2", "good"), ("dec_1", "good")):
        await labels.add(label(decision, what))
    assert await labels.of(["dec_1", "dec_2", "dec_3"]) == {"dec_1": "good", "dec_2": "good"}
    assert await labels.of([]) == {}
    assert [one.label for one in await labels.of_decision("dec_1")] == ["fraud", "good"]


async def test_rows_count_once_though_two_gather_them(engine: Engine) -> None:
    told = Gathered([match(1, "odd")], Counter({("rs_1", ACTIVE, DAY): 7}))
    added = await asyncio.gather(*(Matches(engine).add(0, 10, told) for _ in range(4)))
    assert sorted(added) == [False, False, False, True]
    assert await Matches(engine).row() == 10
    assert await Matches(engine).assessed("rs_1", DAYS) == {ACTIVE: 7}
    assert await Matches(engine).add(10, 20, told), "a match that is known stays one"
    found = await Matches(engine).report("rs_1", DAYS)
    assert {key: totals.requests for key, totals in found.items()} == {(ACTIVE, "odd"): 1}


async def test_a_report_counts_by_the_label_that_holds(engine: Engine) -> None:
    matches, labels = Matches(engine), Labels(engine)
    told = [
        *(match(n, "odd") for n in range(4)),
        match(0, "dear", "block", currency="EUR", amount=5),
        match(9, "odd", mode=SHADOW),
        match(8, "odd", day=DAY + 1),
    ]
    await matches.add(0, 10, Gathered(told))
    for decision, what in (("dec_0", "good"), ("dec_0", "fraud"), ("dec_1", "good")):
        await labels.add(label(decision, what))
    found = await matches.report("rs_1", DAYS)
    odd, dear = found[ACTIVE, "odd"], found[ACTIVE, "dear"]
    assert (odd.requests, odd.fraud, odd.good, odd.micros) == (4, 1, 1, {"USD": 40})
    assert (dear.requests, dear.fraud, dear.good, dear.micros) == (1, 1, 0, {"EUR": 5})
    assert found[SHADOW, "odd"].requests == 1
    assert await matches.report("rs_2", DAYS) == {}


async def test_no_sum_of_money_is_too_large(engine: Engine) -> None:
    told = [match(n, "odd", amount=MAX_MICROS) for n in range(3_000)]
    await Matches(engine).add(0, 10, Gathered(told))
    (totals,) = (await Matches(engine).report("rs_1", DAYS)).values()
    assert totals.micros["USD"] == pytest.approx(3_000 * MAX_MICROS)


async def test_the_queue_goes_on_behind_its_cursor_and_leaves_out_what_has_a_label(
    engine: Engine,
) -> None:
    matches = Matches(engine)
    told = [match(n, rule) for n in range(5) for rule in ("odd", "early")]
    told += [match(7, "dear", "block"), match(8, "odd", mode=SHADOW)]
    await matches.add(0, 10, Gathered(told))
    await Labels(engine).add(label("dec_1", "good"))
    first = await matches.reviews((0, ""), 2)
    assert [one.decision for one in first] == ["dec_0", "dec_2"]
    assert first[0].rules == ("early", "odd")
    rest = await matches.reviews((first[-1].at_ms, first[-1].decision), 9)
    assert [one.decision for one in rest] == ["dec_3", "dec_4"]
    await matches.forget(DAY + 1)
    assert await matches.reviews((0, ""), 9) == []
