"""Which caps and rate limits apply to a request, and under which counters they count."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.core.caps import (
    FREE_LIFETIME_MS,
    HELD,
    RUN_LIFETIME_MS,
    WINDOW_GRACE_MS,
    Applied,
    applied,
    apply_cap,
    apply_rate_limit,
    window_ends,
)
from gateway.core.counters import GAUGE, NO_LIMIT, SLIDING, WINDOW
from gateway.core.entities import (
    LEVELS,
    Cap,
    Included,
    Level,
    LimitUnit,
    Lineage,
    RateLimit,
    WindowKind,
)
from gateway.core.funding import grant_name, included_name
from gateway.core.sources import ADJUSTMENTS, CREDIT_LINE, SHORTFALL
from gateway.core.windows import DAY_MS, FOREVER_MS, bounds
from tests.unit.core.making import NOON, lineage, lineage_terms, ms, profile

WHOLE = lineage("search", "u_17", "k_9", "run-1")
HERE = {"org": "", "project": "search", "user": "u_17", "key": "k_9", "run": "run-1"}


def cap(level: Level = "org", target: str | None = None, **more: object) -> Cap:
    given = {"window": "day", "limit_micros": 1000, **more}
    return Cap("c", level, target=target, **given)  # type: ignore[arg-type]  # parts by name


def rate(level: Level = "org", unit: LimitUnit = "requests", **more: object) -> RateLimit:
    return RateLimit("r", level, unit, 10, **more)  # type: ignore[arg-type]  # parts by name


def one(limit: Cap | RateLimit, of: Lineage = WHOLE, product: str = "gpt") -> Applied | None:
    """How a limit of the org's own applies to a lineage, if it does."""
    given = {"caps" if isinstance(limit, Cap) else "rate_limits": (limit,)}
    found = applied(profile(), lineage_terms(of, **given), product, NOON)
    return found[0] if found else None


def target_of(found: Applied | None) -> str | None:
    return found.name.rpartition("/")[2] if found else None


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("make", [cap, rate])
def test_a_limit_without_target_is_each_one_s_own(make: type[Cap], level: Level) -> None:
    assert target_of(one(make(level))) == HERE[level]


@pytest.mark.parametrize("level", LEVELS[1:])
@pytest.mark.parametrize("make", [cap, rate])
def test_a_limit_with_a_target_is_that_one_s_alone(make: type[Cap], level: Level) -> None:
    assert target_of(one(make(level, target=HERE[level]))) == HERE[level]
    assert one(make(level, target="another")) is None


@pytest.mark.parametrize("level", LEVELS[1:])
@pytest.mark.parametrize("make", [cap, rate])
@pytest.mark.parametrize("target", [None, "x"])
def test_who_names_no_such_member_is_not_limited_by_it(
    make: type[Cap], level: Level, target: str | None
) -> None:
    assert one(make(level, target=target), lineage()) is None


def test_an_org_s_cap_needs_no_more_than_the_org() -> None:
    assert target_of(one(cap("org"), lineage())) == ""


@pytest.mark.parametrize(
    ("products", "asked", "applies"),
    [
        (None, "gpt", True),
        (("gpt",), "gpt", True),
        (("image", "gpt"), "gpt", True),
        (("image",), "gpt", False),
        ((), "gpt", False),
    ],
)
def test_a_cap_may_be_for_some_products_alone(
    products: tuple[str, ...] | None, asked: str, applies: bool
) -> None:
    assert (one(cap(products=products), product=asked) is not None) == applies


def test_all_that_apply_are_found_the_plan_s_first() -> None:
    def named(name: str) -> Cap:
        return Cap(name, "org", "day", 1, from_plan=name.startswith("plan"))

    def limiting(name: str) -> RateLimit:
        return RateLimit(name, "org", "requests", 1, from_plan=name.startswith("plan"))

    who = profile(
        plan={"caps": (named("plan-cap"),), "rate_limits": (limiting("plan-rate"),)},
        caps=(named("org-cap"),),
        rate_limits=(limiting("org-rate"),),
    )
    terms = lineage_terms(caps=(named("user-cap"),), rate_limits=(limiting("user-rate"),))
    assert [a.id for a in applied(who, terms, "gpt", NOON)] == [
        "plan-cap", "org-cap", "user-cap", "plan-rate", "org-rate", "user-rate",
    ]  # fmt: skip


def test_a_request_touches_as_many_counters_as_limits_however_many_members_there_are() -> None:
    """S17: five levels of caps, ten thousand members: O(levels) keys."""
    caps = tuple(Cap(f"c-{level}", level, "day", 1000) for level in LEVELS)
    found = applied(profile(caps=caps), lineage_terms(WHOLE), "gpt", NOON)
    assert [a.level for a in found] == list(LEVELS)
    assert len({a.name for a in found}) == 5


# Shapes and windows.


@pytest.mark.parametrize("window", ["minute", "hour", "day", "week", "month"])
@pytest.mark.parametrize("timezone", ["UTC", "Asia/Shanghai", "Europe/Berlin"])
def test_a_cap_counts_in_the_window_of_the_org_s_timezone(
    window: WindowKind, timezone: str
) -> None:
    starts_ms, ends_ms = bounds(window, timezone, NOON)
    found = apply_cap(cap(window=window), "", profile(timezone=timezone), NOON)
    assert (found.kind, found.shape) == ("cap", WINDOW)
    assert (found.starts_ms, found.ends_ms) == (starts_ms, ends_ms)
    assert found.period_ms == ends_ms + WINDOW_GRACE_MS
    assert f"/{window}{starts_ms}/" in found.name


def test_a_daily_cap_in_shanghai_has_another_counter_after_local_midnight() -> None:
    who = profile(timezone="Asia/Shanghai")
    moments = ("2026-11-22T15:59:59.999Z", "2026-11-22T16:00Z", "2026-11-23T15:59:59.999Z")
    before, at, later = (apply_cap(cap(), "", who, ms(t)).name for t in moments)
    assert before != at
    assert at == later


@pytest.mark.parametrize(
    ("level", "version", "expires_ms"),
    [
        ("org", 1, 0),  # it stays
        ("user", 1, 0),
        ("run", 1, NOON + RUN_LIFETIME_MS),  # runs come and go
        ("org", 0, NOON + FREE_LIFETIME_MS),  # so do free users
        ("user", 0, NOON + FREE_LIFETIME_MS),
        ("run", 0, NOON + RUN_LIFETIME_MS),
    ],
)
def test_how_long_a_lifetime_s_counter_is_kept(level: Level, version: int, expires_ms: int) -> None:
    found = apply_cap(cap(level, window="lifetime"), "x", profile(version=version), NOON)
    assert found.period_ms == expires_ms
    assert (found.starts_ms, found.ends_ms) == (0, FOREVER_MS)


@pytest.mark.parametrize(
    ("unit", "window_s", "shape", "width_ms"),
    [
        ("requests", 60, SLIDING, 60_000),
        ("requests", 1, SLIDING, 1_000),
        ("tokens", 86_400, SLIDING, DAY_MS),
        ("concurrent", 60, GAUGE, 0),
    ],
)
def test_a_rate_limit_slides_and_a_limit_of_open_holds_is_a_gauge(
    unit: LimitUnit, window_s: int, shape: int, width_ms: int
) -> None:
    found = apply_rate_limit(rate(unit=unit, window_s=window_s), "")
    assert (found.kind, found.shape, found.period_ms) == (unit, shape, width_ms)
    assert (found.starts_ms, found.ends_ms) == (0, 0)
    assert (found.mode, found.limit) == ("hard", 10)


def test_only_caps_have_windows_that_plans_depend_on() -> None:
    found = applied(
        profile(caps=(cap(), cap(window="lifetime"))),
        lineage_terms(rate_limits=(rate(), rate(unit="concurrent"))),
        "gpt",
        NOON,
    )
    assert list(window_ends(found)) == [bounds("day", "UTC", NOON), (0, FOREVER_MS)]


@pytest.mark.parametrize(("mode", "limit"), [("hard", 1000), ("soft", NO_LIMIT), ("shadow", -1)])
def test_only_a_hard_cap_can_refuse(mode: str, limit: int) -> None:
    found = one(cap(mode=mode))
    assert found is not None
    assert found.counter().limit == limit
    assert found.limit == 1000, "what is shown is the limit it has"


@pytest.mark.parametrize(
    ("limit", "in_hold"),
    [(cap(), True), (rate(unit="tokens"), True), (rate(unit="concurrent"), True), (rate(), False)],
)
def test_a_hold_gives_back_money_tokens_and_its_slot_but_it_was_a_request(
    limit: Cap | RateLimit, in_hold: bool
) -> None:
    found = one(limit)
    assert found is not None
    assert found.counter().in_hold == in_hold


@pytest.mark.parametrize(
    ("level", "target", "is_listed"),
    [("user", None, True), ("run", None, True), ("user", "u_17", False), ("org", None, False)],
)
def test_targets_are_listed_only_where_a_cap_does_not_name_its_one(
    level: Level, target: str | None, is_listed: bool
) -> None:
    found = one(cap(level, target))
    assert found is not None
    assert bool(found.index) == is_listed


def test_all_targets_of_a_cap_stand_in_one_list_a_window() -> None:
    def index(user: str, now_ms: int = NOON) -> str:
        return apply_cap(cap("user"), user, profile(), now_ms).index

    assert index("a") == index("b") != index("a", NOON + DAY_MS)


# Names. Ids never contain a slash, and every part of a name stands between two.

IDS = ("a", "b", "1", "a:1", "a.day", "day1", "org", "-", "_", "co", "a-60", "requests60")


def test_no_two_caps_share_a_counter() -> None:
    made = {
        (from_plan, name, generation, window, target): apply_cap(
            Cap(name, "user", window, 1, generation=generation, from_plan=from_plan),
            target,
            profile(),
            NOON,
        ).name
        for from_plan, name, generation, window, target in product(
            (False, True), IDS, (0, 1, 60), ("day", "lifetime", "hour"), IDS
        )
    }
    assert len(set(made.values())) == len(made)


def test_no_two_rate_limits_share_a_counter() -> None:
    made = {
        (from_plan, name, generation, unit, window_s, target): apply_rate_limit(
            RateLimit(name, "user", unit, 1, window_s, generation=generation, from_plan=from_plan),
            target,
        ).name
        for from_plan, name, generation, unit, window_s, target in product(
            (False, True), IDS, (0, 1, 60), ("requests", "tokens"), (1, 60), IDS
        )
    }
    assert len(set(made.values())) == len(made)


def test_counters_lists_and_balances_never_share_a_name() -> None:
    who = profile()
    kinds = {
        "cap": {apply_cap(cap("user", window=w), i, who, NOON).name
                for w in ("day", "lifetime") for i in IDS},
        "list": {apply_cap(Cap(i, "user", "day", 1), "x", who, NOON).index for i in IDS},
        "rate": {apply_rate_limit(rate("user"), i).name for i in IDS},
        "grant": {grant_name(i) for i in IDS},
        "included": {included_name(Included(i, 1, "day"), NOON) for i in IDS},
        "own": {HELD, SHORTFALL, ADJUSTMENTS, CREDIT_LINE},
    }  # fmt: skip
    assert len(set().union(*kinds.values())) == sum(len(names) for names in kinds.values())


@pytest.mark.parametrize(
    "later",
    [
        Cap("c", "org", "day", 1000, generation=1),
        Cap("c", "org", "day", 1000, from_plan=True),
        Cap("c", "org", "hour", 1000),
        Cap("d", "org", "day", 1000),
    ],
    ids=["made again", "the plan's of that id", "another window", "another id"],
)
def test_another_cap_counts_anew(later: Cap) -> None:
    names = {apply_cap(c, "", profile(), NOON).name for c in (cap(), later)}
    assert len(names) == 2


@pytest.mark.parametrize(
    "changed",
    [
        Cap("c", "org", "day", 5),
        Cap("c", "org", "day", 1000, "soft"),
        Cap("c", "org", "day", 1000, alert_at=(50,)),
        Cap("c", "org", "day", 1000, products=("gpt",)),
    ],
    ids=["limit", "mode", "alerts", "products"],
)
def test_a_changed_cap_keeps_its_count(changed: Cap) -> None:
    names = {apply_cap(c, "", profile(), NOON).name for c in (cap(), changed)}
    assert len(names) == 1
