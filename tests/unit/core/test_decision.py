"""The decision: what a caller is told follows from what was asked and what the store did."""

from __future__ import annotations

import pytest

from gateway.core.commands import Mode, Outcome
from gateway.core.decision import Draw, LimitState, affordable_micros, conclude
from gateway.core.entities import Cap, Contract, Grant, Included, Member, ProductTerms, RateLimit
from gateway.core.reasons import Reason
from gateway.core.request_record import RequestRecord
from gateway.core.windows import DAY_MS
from gateway.wire import records
from gateway.wire.records import StreamRecord
from tests.unit.core.making import NOON, lineage, ms
from tests.unit.core.stories import (
    DAILY,
    FULL,
    LIFETIME,
    OPEN,
    PER_MINUTE,
    TOKENS,
    Story,
    codes,
)

MIDNIGHT = ms("2026-11-22T00:00Z")


# Allowed.


def test_an_allowed_request_has_no_reasons_and_tells_what_was_drawn_and_is_left() -> None:
    story = Story(
        amount=11_000,
        who={
            "plan": {"included": (Included("monthly", 4_000, "month"),)},
            "grants": (Grant("grant_1", "paid", 9_000, 10, 1),),
            "credit_line": 500,
        },
        funds=(0, 9_000, 0, 0),
        held=70,
        hold=(11_000, NOON + 300_000),
    )
    told = story.allowed(4_000, 7_000, 0, 0)
    assert told.allowed
    assert (told.reasons, told.status_hint) == ((), 200)
    assert told.draws == (Draw("included:monthly", 4_000), Draw("grant_1", 7_000))
    assert told.available == 4_000 + 9_000 + 500 - 11_000
    assert told.held == 11_070
    assert (told.hold_amount, told.hold_expires_ms) == (11_000, NOON + 300_000)
    assert (told.retry_after_s, told.max_affordable) == (None, None)


@pytest.mark.parametrize(
    ("mode", "settles", "held"),
    [
        (Mode.HOLD, False, 170),
        (Mode.CAPTURE, True, 70),
        (Mode.DRY, False, 170),
        (Mode.DRY, True, 70),
    ],
)
def test_what_settles_at_once_is_not_on_hold(mode: Mode, settles: bool, held: int) -> None:
    told = Story(mode=mode, settles=settles, held=70).allowed(100, 0)
    assert (told.available, told.held) == (9_900, held)


def test_funds_below_their_floor_are_nothing_not_less() -> None:
    """A credit line that was lowered below what is drawn of it takes nothing from the rest."""
    told = Story(who={"credit_line": 100}, funds=(500, -300)).allowed(100, 0)
    assert told.available == 400


def test_signals_come_along() -> None:
    assert Story().allowed(100, 0).signals == (1, 2, 3, 4, 5, 6)


# Each reason alone.

KEYED = lineage(project="search", user="u_1", key="k_1")
CONTRACT = Contract("default", "v1", 0, None, 0, {"gpt": ProductTerms(allowed=False)})

ALONE = [
    ("org_suspended", "acme", Story(who={"status": "suspended"})),
    ("project_suspended", "search",
     Story(of=KEYED, members=(Member("project", "search", "suspended"),))),
    ("user_suspended", "u_1", Story(of=KEYED, members=(Member("user", "u_1", "suspended"),))),
    ("key_unknown", "k_1", Story(of=KEYED, who={"has_keys": True})),
    ("key_unknown", "k_1", Story(of=KEYED, members=(Member("key", "k_1", project="another"),))),
    ("key_unknown", "k_1", Story(of=KEYED, members=(Member("key", "k_1", user="another"),))),
    ("key_disabled", "k_1", Story(of=KEYED, members=(Member("key", "k_1", "disabled"),))),
    ("key_expired", "k_1", Story(of=KEYED, members=(Member("key", "k_1", expires_ms=NOON),))),
    ("product_unpriced", "new", Story(product="new", quantity={"units": 1})),
    ("product_not_allowed", "gpt", Story(who={"contract": CONTRACT})),
    ("rate_limited", "per-minute", Story(limits={PER_MINUTE: (10, 0)})),
    ("rate_limited", "tokens", Story(quantity={"input_tokens": 400}, limits={TOKENS: (601, 0)})),
    ("concurrency_limited", "open", Story(limits={OPEN: (2, 0)})),
    ("cap_exceeded", "daily", Story(limits={DAILY: (400, 501)})),
    ("cap_exceeded", "none", Story(amount=0, limits={Cap("none", "org", "day", 0): (0, 0)})),
    ("insufficient_funds", "", Story(funds=(99, 0))),
]  # fmt: skip
HINTS = {"rate_limited": 429, "concurrency_limited": 429, "cap_exceeded": 402,
         "insufficient_funds": 402}  # fmt: skip


@pytest.mark.parametrize(("code", "of", "story"), ALONE)
def test_a_reason_alone(code: str, of: str, story: Story) -> None:
    told = story.denied()
    assert [(r.reason.name, r.id) for r in told.reasons] == [(code, of)]
    assert told.status_hint == HINTS.get(code, 403)
    assert told.reasons[0].detail
    assert not told.allowed
    assert (told.draws, told.hold_amount, told.hold_expires_ms) == ((), 0, 0)


FITS = [
    Story(quantity={"input_tokens": 400}, limits={TOKENS: (600, 0)}),
    Story(limits={DAILY: (400, 500)}),
    Story(limits={PER_MINUTE: (9, 0)}),
    Story(limits={OPEN: (1, 0)}),
    Story(funds=(100, 0)),
    Story(funds=(40, -10), who={"credit_line": 70}),
    Story(amount=0, limits={DAILY: (1_000, 0)}),
    Story(amount=0, funds=(0, 0)),
    Story(product="new"),  # an amount needs no price
    Story(of=KEYED),  # nobody registered keys: any will do
    Story(of=KEYED, members=(Member("key", "k_1", project="search", user="u_1"),)),
    Story(of=KEYED, members=(Member("key", "k_1", expires_ms=NOON + 1),)),
    Story(who={"has_keys": True}),  # no key is named
]


@pytest.mark.parametrize("story", FITS)
def test_what_just_fits_has_no_reason(story: Story) -> None:
    assert story.denied().reasons == ()


# All of them together.


def test_all_that_fail_are_listed_the_weightiest_first() -> None:
    story = Story(
        amount=500,
        of=KEYED,
        members=(
            Member("project", "search", "suspended"),
            Member("user", "u_1", "suspended"),
            Member("key", "k_1", "disabled", project="another", expires_ms=NOON - 1),
        ),
        who={"status": "suspended", "contract": CONTRACT},
        limits=FULL,
        funds=(0, 0),
        quantity={"input_tokens": 1},
    )
    told = story.denied()
    assert codes(told) == [
        "org_suspended", "project_suspended", "user_suspended", "key_unknown", "key_disabled",
        "key_expired", "product_not_allowed", "rate_limited", "rate_limited",
        "concurrency_limited", "cap_exceeded", "insufficient_funds",
    ]  # fmt: skip
    assert told.status_hint == 403
    assert told.retry_after_s is None


def test_the_checks_of_limits_are_made_even_when_nothing_prices_the_product() -> None:
    story = Story(product="new", quantity={"input_tokens": 1}, limits=FULL)
    assert codes(story.denied()) == [
        "product_unpriced", "rate_limited", "rate_limited", "concurrency_limited",
    ]  # fmt: skip


def test_of_one_code_all_are_listed_by_id() -> None:
    caps = {Cap(name, "org", "day", 10): (0, 0) for name in ("b", "a", "c")}
    told = Story(limits=caps).denied()
    assert [r.id for r in told.reasons] == ["a", "b", "c"]


def test_a_detail_is_a_sentence_that_names_the_numbers() -> None:
    told = Story(limits=FULL, funds=(60, 0), quantity={"input_tokens": 40}).denied()
    details = {r.id: r.detail for r in told.reasons}
    assert details == {
        "per-minute": "10 requests in 60 s are allowed for this org",
        "tokens": "1000 tokens in 60 s are allowed for this org",
        "open": "2 holds may be open at once for this org",
        "daily": "the org cap of 0.001 USD would be passed",
        "": "0.0001 USD is needed, 0.00006 USD is available",
    }


# Soft and shadow caps.


def test_a_soft_cap_shows_and_never_denies() -> None:
    soft = Cap("soft", "org", "day", 50, "soft")
    told = Story(limits={soft: (40, 0)}, funds=(0, 0)).denied()
    assert codes(told) == ["insufficient_funds"]
    assert [(s.id, s.mode, s.remaining) for s in told.limits] == [("soft", "soft", 10)]
    told = Story(limits={soft: (40, 0)}).allowed(100, 0)
    assert [(s.id, s.remaining) for s in told.limits] == [("soft", 0)]


def test_a_shadow_cap_neither_shows_nor_denies() -> None:
    shadow = Cap("shadow", "org", "day", 50, "shadow")
    told = Story(limits={shadow: (40, 0)}, funds=(0, 0)).denied()
    assert codes(told) == ["insufficient_funds"]
    assert told.limits == ()
    assert Story(limits={shadow: (40, 0)}).allowed(100, 0).limits == ()


@pytest.mark.parametrize("mode", ["soft", "shadow"])
def test_what_cannot_deny_does_not_bound_what_is_affordable(mode: str) -> None:
    lax = Cap("lax", "org", "day", 0, mode)  # type: ignore[arg-type]  # tests say it as text
    assert Story(amount=900, limits={lax: (40, 0)}, funds=(700, 0)).denied().max_affordable == 700


# How much could be had.


@pytest.mark.parametrize(
    ("limits", "funds", "credit_line", "affordable"),
    [
        ({}, (99, 0), 0, 99),
        ({}, (99, 0), 500, 599),
        ({}, (99, -400), 500, 199),
        ({}, (0, 0), 0, 0),
        ({DAILY: (400, 300)}, (10_000, 0), 0, 300),
        ({DAILY: (400, 300), LIFETIME: (4_900, 0)}, (10_000, 0), 0, 100),
        ({DAILY: (400, 300), LIFETIME: (4_000, 0)}, (250, 0), 0, 250),
        ({DAILY: (900, 300)}, (10_000, 0), 0, 0),  # already over
        ({Cap("none", "org", "day", 0): (0, 0)}, (10_000, 0), 0, 0),
    ],
)
def test_the_largest_amount_that_funds_and_hard_caps_bear(
    limits: dict[Cap | RateLimit, tuple[int, int]],
    funds: tuple[int, ...],
    credit_line: int,
    affordable: int,
) -> None:
    told = Story(1_000_000, limits=limits, funds=funds, who={"credit_line": credit_line}).denied()
    assert told.max_affordable == affordable


@pytest.mark.parametrize("amount", [1, 100, 299])
def test_what_is_affordable_would_pass_and_one_more_would_not(amount: int) -> None:
    limits = {DAILY: (400, 600 - amount), LIFETIME: (0, 0)}
    story = Story(5_000, limits=limits, funds=(299, 0))
    found = affordable_micros(story.asked(), story.outcome(None))
    assert Story(found, limits=limits, funds=(299, 0)).denied().reasons == ()
    assert Story(found + 1, limits=limits, funds=(299, 0)).denied().reasons != ()


@pytest.mark.parametrize(
    "story",
    [Story(limits={PER_MINUTE: (10, 0)}), Story(who={"status": "suspended"}),
     Story(limits={OPEN: (2, 0)})],
)  # fmt: skip
def test_where_money_is_not_the_matter_nothing_is_said_of_it(story: Story) -> None:
    assert story.denied().max_affordable is None


# When to come back.


@pytest.mark.parametrize(
    ("limits", "quantity", "retry_after_s"),
    [
        ({OPEN: (2, 0)}, None, 1),  # nobody knows when a hold ends
        ({PER_MINUTE: (10, 0)}, None, 67),  # noon begins a bucket: it has to pass and fade a tenth
        ({PER_MINUTE: (0, 20)}, None, 34),  # 20 fade to 9 in 33 s
        ({PER_MINUTE: (0, 20), OPEN: (2, 0)}, None, 34),
        ({PER_MINUTE: (0, 20), TOKENS: (0, 2_000)}, {"input_tokens": 1_000}, 61),
        ({PER_MINUTE: (0, 20), TOKENS: (0, 2_000)}, {"input_tokens": 500}, 46),
        ({PER_MINUTE: (0, 20), DAILY: (1_000, 0)}, None, 34),
    ],
)
def test_a_rate_limit_tells_when_to_come_back(
    limits: dict[Cap | RateLimit, tuple[int, int]],
    quantity: dict[str, int] | None,
    retry_after_s: int,
) -> None:
    told = Story(quantity=quantity, limits=limits).denied()
    assert told.status_hint == 429
    assert told.retry_after_s == retry_after_s


@pytest.mark.parametrize("into_ms", [0, 1, 29_999, 59_999])
@pytest.mark.parametrize("readings", [(10, 0), (10, 10), (0, 20), (9, 7), (3, 100)])
def test_who_comes_back_then_passes(into_ms: int, readings: tuple[int, int]) -> None:
    """Nobody else came, and the count rolled as buckets do."""
    story = Story(limits={PER_MINUTE: readings}, now_ms=NOON + into_ms)
    told = story.denied()
    if not told.reasons:
        return
    assert told.retry_after_s is not None
    later_ms = story.now_ms + told.retry_after_s * 1000
    passed = later_ms // 60_000 - story.now_ms // 60_000
    rolled = {0: readings, 1: (0, readings[0])}.get(passed, (0, 0))
    assert Story(limits={PER_MINUTE: rolled}, now_ms=later_ms).denied().reasons == ()


@pytest.mark.parametrize(
    "story", [Story(limits={DAILY: (1_000, 0)}), Story(funds=(0, 0)), Story(funds=(100, 0))]
)
def test_nothing_else_tells_when_to_come_back(story: Story) -> None:
    assert story.denied().retry_after_s is None


# What is left of each limit.


def test_limits_show_what_is_left_after_the_decision_and_when_they_reset() -> None:
    limits = {DAILY: (400, 100), LIFETIME: (0, 0), PER_MINUTE: (3, 0), TOKENS: (0, 0), OPEN: (1, 0)}
    told = Story(quantity={"input_tokens": 40}, limits=limits, now_ms=NOON + 1_500).allowed(100, 0)
    minute = NOON + 60_000
    assert told.limits == (
        LimitState(
            "daily", "cap", "org", "hard", 1_000, 400, MIDNIGHT + DAY_MS, "micros", 400, 200, True
        ),
        LimitState("ever", "cap", "org", "hard", 5_000, 4_900, 0, "micros", 0, 100, True),
        LimitState("per-minute", "requests", "org", "hard", 10, 6, minute, "requests", 4, 0),
        LimitState("tokens", "tokens", "org", "hard", 1_000, 960, minute, "tokens", 40, 0),
        LimitState("open", "concurrent", "org", "hard", 2, 0, 0, "concurrent", 2, 0),
    )


def test_a_denied_request_uses_up_none_of_them() -> None:
    told = Story(
        limits={DAILY: (400, 100), PER_MINUTE: (3, 0), OPEN: (1, 0)}, funds=(0, 0)
    ).denied()
    assert [s.remaining for s in told.limits] == [500, 7, 1]


def test_an_over_full_limit_has_nothing_left_not_less() -> None:
    """Captures may cost more than was held."""
    told = Story(limits={DAILY: (4_000, 0)}).denied()
    assert [s.remaining for s in told.limits] == [0]


def test_what_settles_at_once_takes_no_slot() -> None:
    story = Story(mode=Mode.CAPTURE, settles=True, limits={OPEN: (2, 0)})
    assert story.denied().reasons == ()
    assert [s.remaining for s in story.allowed(100, 0).limits] == [0]


def test_only_limits_that_applied_are_listed() -> None:
    others = Cap("theirs", "user", "day", 1, target="another")
    assert Story(limits={}, who={"plan": {"caps": (others,)}}).allowed(100, 0).limits == ()


# A pure function of a record.

EVERY = [story for _, _, story in ALONE]


@pytest.mark.parametrize("story", [*EVERY, *FITS])
def test_a_record_that_was_written_and_read_gives_the_same_decision(story: Story) -> None:
    asked, outcome = story.asked(), story.outcome(None)
    out, body = records.encode(outcome), records.encode(asked)
    read = records.decode(StreamRecord(0, 1, 0, "authorize", out, body))
    assert isinstance(read[0], Outcome) and isinstance(read[1], RequestRecord)
    told, again = conclude(asked, outcome), conclude(read[1], read[0])
    assert again == told
    assert records.encode(again.asked) == records.encode(told.asked)


def test_concluding_changes_nothing_of_what_it_is_given() -> None:
    story = Story(limits=FULL)
    asked, outcome = story.asked(), story.outcome(None)
    before = records.encode(asked), records.encode(outcome)
    conclude(asked, outcome)
    assert (records.encode(asked), records.encode(outcome)) == before


def test_every_reason_the_store_can_find_is_told_of_here() -> None:
    told_of = {code for code, _, _ in ALONE}
    risk = {Reason.list_blocked, Reason.rule_blocked, Reason.risk_too_high,
            Reason.challenge_required}  # fmt: skip
    faults = {Reason.ledger_backlog, Reason.overloaded, Reason.store_unavailable}
    assert told_of == {r.name for r in Reason if r not in risk | faults}
