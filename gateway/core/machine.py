"""The reference machine: what each store function means; Lua is its fast copy.

Every function asks first and writes after: it reads and checks everything, returns on refusal, and
only then changes the shard. `now_ms` is the store's clock (Unix ms).
"""

from __future__ import annotations

import copy

from gateway.core import names, settle
from gateway.core.caps import HELD, WINDOW_GRACE_MS
from gateway.core.commands import (
    AdjustOrder,
    EventOrder,
    GrantOrder,
    Mode,
    Moved,
    Outcome,
    Plan,
    Reply,
    Status,
    VoidOrder,
)
from gateway.core.counters import GAUGE, SLIDING, WINDOW, Counter, refuses, rolled, used
from gateway.core.entity_counters import (
    counted_signal,
    read_signal,
    read_windows,
    signal_ends_ms,
    signal_name,
)
from gateway.core.funding import grant_name
from gateway.core.holds import (
    Counted,
    Hold,
    HoldStatus,
    Taken,
    add_counted,
    add_taken,
    status_at,
)
from gateway.core.machine_steps import draw, parts_of, pay, precheck, record, stale
from gateway.core.money import MAX_MICROS
from gateway.core.sources import ADJUSTMENTS, SHORTFALL
from gateway.core.state import Shard
from gateway.core.velocity import Past, add_past, add_velocity, read_velocity


def authorize(shard: Shard, plan: Plan, now_ms: int) -> Reply:
    """Decide a plan, move the money where it is allowed, and count and record it either way."""
    needs = plan.needs
    until_ms = min(needs.valid_until_ms, plan.not_after_ms)
    early = precheck(shard, needs.org, plan.idempotency, now_ms) or stale(
        shard, needs.versions, needs.valid_from_ms, until_ms, now_ms
    )
    if early:
        return early
    standing = shard.hold(plan.hold_id, now_ms) if plan.extends else None
    if plan.extends:
        if standing is None:
            return Reply(Status.MISSING, now_ms)
        if status_at(standing[0].state, standing[0].expires_ms, now_ms) is not HoldStatus.held:
            return Reply(Status.ENDED, now_ms, hold=copy.deepcopy(standing[0]), body=standing[1])
    outcome = _check(shard, plan, now_ms)
    if plan.probe and not outcome.allowed:
        return Reply(Status.ROOM, now_ms, outcome=outcome)
    if plan.mode is Mode.DRY:
        return Reply(Status.DONE, now_ms, outcome=outcome)
    _count_signals(shard, plan, now_ms)
    request = (plan.amount, outcome.allowed)
    add_velocity(shard.cells, shard.shared, plan.tallies, request, now_ms)
    if outcome.allowed:
        held = standing[0] if standing else None
        expires_ms = _expiry_ms(plan, held, now_ms)
        _take(shard, plan, outcome, expires_ms)
        if plan.mode is Mode.HOLD:
            _hold(shard, plan, outcome, held, expires_ms)
    what = ("extend" if plan.extends else "authorize", outcome)
    org, terms = plan.needs.org, plan.needs.record
    at = record(shard, org, what, plan.asked, plan.idempotency, terms=terms)
    return Reply(Status.DONE, now_ms, outcome=outcome, position=at)


def _check(shard: Shard, plan: Plan, now_ms: int) -> Outcome:
    allowed = not plan.refused
    readings: list[int] = []
    for counter in plan.needs.counters:
        first, second = read_counter(shard, plan.needs.org, counter, now_ms)
        readings += [first, second]
        used_now = used(counter.shape, first, second, counter.period_ms, now_ms)
        share = plan.shares[counter.measure]
        if refuses(counter.limit, counter.measure, share, used_now):
            allowed = False
    funds = [shard.cells.get(plan.needs.org, s.name, now_ms) or 0 for s in plan.needs.sources]
    draws, rest = draw(plan.needs.sources, funds, plan.amount)
    allowed = allowed and rest == 0
    signals: list[int] = []
    for entity in plan.needs.signals:
        signals += read_signal(shard.cells.get(plan.needs.org, signal_name(entity), now_ms), now_ms)
    seen = _read_windows(shard, plan, now_ms)
    seen += read_velocity(shard.cells, shard.shared, plan.tallies, now_ms)
    taken = draws if allowed else []
    return Outcome(allowed, now_ms, readings, funds, taken, signals, seen=seen)


def read_counter(shard: Shard, org: str, counter: Counter, now_ms: int) -> tuple[int, int]:
    """Read the two numbers of a counter as of now."""
    value = shard.cells.get(org, counter.name, now_ms)
    if counter.shape == WINDOW:
        return value or (0, 0)
    if counter.shape == GAUGE:
        return value or 0, 0
    return rolled(value, counter.period_ms, now_ms)[1:]


def _read_windows(shard: Shard, plan: Plan, now_ms: int) -> list[int]:
    seen: list[int] = []
    for entity, windows in zip(plan.needs.signals, plan.windows, strict=False):
        value = shard.cells.get(plan.needs.org, signal_name(entity), now_ms)
        seen += read_windows(value, windows, now_ms)
    return seen


def _count_signals(shard: Shard, plan: Plan, now_ms: int) -> None:
    for place, entity in enumerate(plan.needs.signals):
        windows = plan.windows[place] if place < len(plan.windows) else ()
        name = signal_name(entity)
        before = shard.cells.get(plan.needs.org, name, now_ms)
        value = counted_signal(before, plan.amount, now_ms, windows, plan.version)
        shard.cells.replace(plan.needs.org, name, value, signal_ends_ms(value, now_ms))


def _take(shard: Shard, plan: Plan, outcome: Outcome, expires_ms: int) -> None:
    now_ms, cells = outcome.now_ms, shard.cells
    settles = plan.mode is Mode.CAPTURE
    least_ms = expires_ms + WINDOW_GRACE_MS if expires_ms else 0
    for i, counter in enumerate(plan.needs.counters):
        first, second = outcome.readings[2 * i : 2 * i + 2]
        share = plan.shares[counter.measure]
        if counter.shape == WINDOW:
            used_after = min(MAX_MICROS, first + share) if settles else first
            held_after = second if settles else min(MAX_MICROS, second + share)
            value = (used_after, held_after)
            _write_window(shard, plan.needs.org, counter, value, least_ms, now_ms)
        elif counter.shape == GAUGE:
            if share:
                cells.put(plan.needs.org, counter.name, first + share, now_ms)
        else:
            bucket = now_ms // counter.period_ms
            sliding = (bucket, min(MAX_MICROS, first + share), second)
            ends_ms = (bucket + 2) * counter.period_ms
            cells.replace(plan.needs.org, counter.name, sliding, ends_ms)
            if counter.index:
                _index(shard, plan.needs.org, counter, ends_ms, now_ms)
    pay(shard, plan.needs.org, plan.needs.sources, outcome.funds, outcome.draws, now_ms)


def _write_window(
    shard: Shard, org: str, counter: Counter, value: tuple[int, int], least_ms: int, now_ms: int
) -> None:
    # The key outlives its window, and any hold made in it, by a grace: an extend or a late capture
    # still finds the counter.
    cells, until_ms = shard.cells, max(counter.period_ms, least_ms) if counter.period_ms else 0
    is_new = cells.get(org, counter.name, now_ms) is None
    cells.put(org, counter.name, value, now_ms, until_ms)
    if until_ms > counter.period_ms:
        cells.prolong(org, counter.name, until_ms)
    if counter.index and (is_new or until_ms > counter.period_ms):
        _index(shard, org, counter, until_ms, now_ms)


def _index(shard: Shard, org: str, counter: Counter, until_ms: int, now_ms: int) -> None:
    # A set lives as long as any of its targets: it is only ever prolonged.
    members = shard.cells.get(org, counter.index, now_ms) or frozenset()
    target = names.target_of(counter.name)
    shard.cells.put(org, counter.index, members | {target}, now_ms, until_ms)
    shard.cells.prolong(org, counter.index, until_ms)


def _expiry_ms(plan: Plan, standing: Hold | None, now_ms: int) -> int:
    if plan.mode is not Mode.HOLD:
        return 0
    if plan.hold_ttl_ms or standing is None:
        return now_ms + plan.hold_ttl_ms
    return standing.expires_ms


def _hold(
    shard: Shard, plan: Plan, outcome: Outcome, standing: Hold | None, expires_ms: int
) -> None:
    now_ms = outcome.now_ms
    hold = standing or Hold(
        int(HoldStatus.held),
        plan.needs.org,
        plan.needs.book,
        plan.needs.currency,
        plan.needs.product,
        0,
        now_ms,
        0,
        [],
        [],
    )
    note = shard.holds[plan.hold_id][1] if standing else plan.note
    hold.amount += plan.amount
    hold.expires_ms = expires_ms
    for source, part in zip(plan.needs.sources, outcome.draws, strict=True):
        if part:
            add_taken(hold, Taken(source.name, part, source.perishable))
    for counter in plan.needs.counters:
        if counter.in_hold:
            period_ms = counter.period_ms if counter.shape == SLIDING else 0
            bucket = now_ms // period_ms if period_ms else 0
            share = plan.shares[counter.measure]
            counted = Counted(
                counter.name, counter.shape, share, bucket, period_ms, counter.counted_as
            )
            add_counted(hold, counted)
    shard.holds[plan.hold_id] = (hold, note, 0)
    shard.due[plan.hold_id] = hold.expires_ms
    outcome.hold_amount, outcome.hold_expires_ms = hold.amount, hold.expires_ms


def grant(shard: Shard, order: GrantOrder, now_ms: int) -> Reply:
    """Give credit: write metadata, balance, version and record in one step."""
    early = precheck(shard, order.org, order.idempotency, now_ms)
    if early:
        return early
    given = order.grant
    debt = shard.cells.get(order.org, SHORTFALL, now_ms) or 0
    # What pays for one alone pays no debt of the others.
    settles = given.kind == "paid" and not given.level
    settled = min(debt, given.amount_micros) if settles else 0
    if settled:
        shard.cells.put(order.org, SHORTFALL, debt - settled, now_ms)
    left = given.amount_micros - settled
    shard.cells.put(order.org, grant_name(given.id), left, now_ms)
    shard.grants.setdefault(order.org, {})[given.id] = (order.currency, order.meta)
    if given.expires_ms is not None:
        shard.due[names.due_grant(order.org, given.id)] = given.expires_ms
    settle.bump_grants(shard, order.org)
    moved = Moved(
        now_ms,
        given.kind,
        given.id,
        order.org,
        order.currency,
        given.amount_micros,
        settled,
        0,
        left,
        [],
    )
    return _moved(shard, "grant", order, moved)


def void(shard: Shard, order: VoidOrder, now_ms: int) -> Reply:
    """End a grant; what is left of it is gone."""
    early = precheck(shard, order.org, order.idempotency, now_ms)
    if early:
        return early
    left = settle.end_grant(shard, order.org, order.grant_id, now_ms)
    if left is None:
        return Reply(Status.MISSING, now_ms)
    moved = Moved(now_ms, "void", order.grant_id, order.org, order.currency, -left, 0, 0, 0, [])
    return _moved(shard, "void", order, moved)


def adjust(shard: Shard, order: AdjustOrder, now_ms: int) -> Reply:
    """Move funds by an amount, or to a target, computed from what is available now."""
    early = precheck(shard, order.org, order.idempotency, now_ms) or stale(
        shard, order.versions, order.valid_from_ms, order.valid_until_ms, now_ms
    )
    if early:
        return early
    cells = shard.cells
    funds = [cells.get(order.org, s.name, now_ms) or 0 for s in order.sources]
    rooms = [max(0, v - s.floor) for s, v in zip(order.sources, funds, strict=True)]
    available = sum(rooms)
    amount = order.amount if order.target is None else order.target - available
    balance = cells.get(order.org, ADJUSTMENTS, now_ms) or 0
    debt = cells.get(order.org, SHORTFALL, now_ms) or 0
    draws, rest = draw(order.sources, funds, max(0, -amount))
    # Money on hold may be released on top: the sum must still be a number that Lua can hold.
    held = cells.get(order.org, HELD, now_ms) or 0
    largest = max(abs(amount), available, debt + rest)
    if max(largest, max(balance, available) + held + amount) > MAX_MICROS:
        return Reply(Status.RANGE, now_ms)
    if amount > 0:
        cells.put(order.org, ADJUSTMENTS, balance + amount, now_ms)
    pay(shard, order.org, order.sources, funds, draws, now_ms)
    if rest:
        cells.put(order.org, SHORTFALL, debt + rest, now_ms)
    parts = parts_of(order.sources, draws)
    after = available + amount + rest
    moved = Moved(now_ms, order.kind, "", order.org, order.currency, amount, 0, rest, after, parts)
    return _moved(shard, "adjust", order, moved)


def event(shard: Shard, order: EventOrder, now_ms: int) -> Reply:
    """Record a business event, and count it when it happened, or now where that is later."""
    early = precheck(shard, order.org, order.idempotency, now_ms)
    if early:
        return early
    at_ms = min(order.at_ms, now_ms)
    for tally in order.tallies:
        past = Past(tally, {at_ms // tally.width_ms: (1, order.amount)})
        add_past(shard.cells, shard.shared, past, now_ms)
    moved = Moved(now_ms, order.type, order.id, order.org, "", 0, 0, 0, 0, [])
    return _moved(shard, "event", order, moved)


def _moved(
    shard: Shard, kind: str, order: GrantOrder | VoidOrder | AdjustOrder | EventOrder, moved: Moved
) -> Reply:
    at = record(shard, order.org, (kind, moved), order.body, order.idempotency)
    return Reply(Status.DONE, moved.now_ms, moved=moved, position=at)
