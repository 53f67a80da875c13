"""Ends of holds and grants in the reference machine: captured, released, expired, lapsed."""

from __future__ import annotations

import copy

from gateway.core import names
from gateway.core.commands import Ended, Finish, Moved, Part, Reply, Status
from gateway.core.counters import GAUGE, WINDOW
from gateway.core.funding import grant_name
from gateway.core.holds import (
    LATE_CAPTURE_MS,
    TRANSITIONS,
    Hold,
    HoldStatus,
    Step,
    Taken,
    final_parts,
    status_at,
)
from gateway.core.machine_steps import draw, parts_of, pay, precheck, record, stale
from gateway.core.money import MAX_MICROS
from gateway.core.sources import SHORTFALL, has_version
from gateway.core.state import Shard


def finish(shard: Shard, order: Finish, now_ms: int) -> Reply:
    """End a hold as its transition table allows; release what it did not use, once."""
    early = precheck(shard, order.org, order.idempotency, now_ms)
    if early:
        return early
    entry = shard.hold(order.hold_id, now_ms)
    if entry is None:
        return Reply(Status.MISSING, now_ms)
    hold, asked = entry
    if (hold.state, order.step) not in TRANSITIONS or _is_over(hold, order.step, now_ms):
        return Reply(Status.ENDED, now_ms, hold=copy.deepcopy(hold), body=asked)
    held = hold.amount if hold.state is HoldStatus.held else 0
    if order.cost > held:
        behind = stale(shard, order.versions, order.valid_from_ms, order.valid_until_ms, now_ms)
        if not order.has_sources or behind:
            return behind or Reply(Status.STALE, now_ms)
        if _debt_after(shard, hold, order, order.cost - held, now_ms) > MAX_MICROS:
            return Reply(Status.RANGE, now_ms)
    ended = _end(shard, hold, order, now_ms)
    at = record(shard, order.org, ("finish", ended), order.body, order.idempotency)
    keep_ms = LATE_CAPTURE_MS if order.step is Step.expire else order.keep_ms
    shard.holds[order.hold_id] = (hold, asked, now_ms + keep_ms)
    shard.due.pop(order.hold_id, None)
    return Reply(Status.DONE, now_ms, ended=ended, position=at)


def _debt_after(shard: Shard, hold: Hold, order: Finish, over: int, now_ms: int) -> int:
    # Only an org's own debt is a balance here; a free user's is on the plan's books alone.
    if names.is_collective(hold.book):
        return 0
    funds = [shard.cells.get(order.org, s.name, now_ms) or 0 for s in order.sources]
    _, rest = draw(order.sources, funds, over)
    return (shard.cells.get(order.org, SHORTFALL, now_ms) or 0) + rest if rest else 0


def _is_over(hold: Hold, step: Step, now_ms: int) -> bool:
    # A capture may come after the expiry and a sweep must; every other step finds a due hold
    # expired.
    if step in (Step.capture, Step.expire):
        return False
    return status_at(hold.state, hold.expires_ms, now_ms) is not HoldStatus.held


def _end(shard: Shard, hold: Hold, order: Finish, now_ms: int) -> Ended:
    was_held = hold.state is HoldStatus.held
    late = order.step is Step.capture and now_ms >= hold.expires_ms
    held = hold.amount if was_held else 0
    kept, back = _split(shard, hold if was_held else None, order.cost, now_ms)
    over = max(0, order.cost - held)
    excess, shortfall = _draw_excess(shard, order, over, now_ms) if over else ([], 0)
    if shortfall and not names.is_collective(hold.book):
        debt = shard.cells.get(order.org, SHORTFALL, now_ms) or 0
        shard.cells.put(order.org, SHORTFALL, debt + shortfall, now_ms)
    _uncount(shard, hold, order, was_held, now_ms)
    hold.status = int(TRANSITIONS[(hold.state, order.step)])
    hold.late, hold.shortfall, hold.ended_ms = late, shortfall, now_ms
    hold.captured, hold.released = order.cost - shortfall, max(0, held - order.cost)
    hold.draws = [Taken(p.name, p.amount, False) for p in [*kept, *excess]]
    return Ended(
        now_ms,
        order.hold_id,
        hold.status,
        hold.org,
        hold.book,
        hold.currency,
        hold.product,
        held,
        hold.captured,
        hold.released,
        shortfall,
        late,
        kept,
        back,
        excess,
    )


def _split(
    shard: Shard, hold: Hold | None, cost: int, now_ms: int
) -> tuple[list[Part], list[Part]]:
    # A partial capture charges the first draws and releases the last.
    kept, back = [], []
    for taken in hold.draws if hold else []:
        keep = min(taken.amount, cost)
        cost -= keep
        if keep:
            kept.append(Part(taken.name, keep))
        if taken.amount > keep:
            value = shard.cells.get(hold.org, taken.name, now_ms) if hold else None
            gone = taken.perishable and value is None
            back.append(Part(taken.name, taken.amount - keep, gone))
            if hold and not gone:
                _give_back(shard, hold.org, taken.name, value or 0, taken.amount - keep, now_ms)
    return kept, back


def _give_back(shard: Shard, org: str, name: str, value: int, amount: int, now_ms: int) -> None:
    shard.cells.put(org, name, value + amount, now_ms)
    if has_version(name) and value == 0:
        # Profiles leave out used-up grants. This one has money again, so they must be loaded anew.
        bump_grants(shard, org)


def bump_grants(shard: Shard, org: str) -> None:
    """Make every plan that was made from the org's grants stale."""
    key = ("grants", org)
    shard.versions[key] = shard.versions.get(key, 0) + 1


def _draw_excess(shard: Shard, order: Finish, over: int, now_ms: int) -> tuple[list[Part], int]:
    funds = [shard.cells.get(order.org, s.name, now_ms) or 0 for s in order.sources]
    draws, rest = draw(order.sources, funds, over)
    pay(shard, order.org, order.sources, funds, draws, now_ms)
    return parts_of(order.sources, draws), rest


def _uncount(shard: Shard, hold: Hold, order: Finish, was_held: bool, now_ms: int) -> None:
    """Take the hold out of every counter that still exists, and leave what it finally used."""
    cells, leaves = shard.cells, order.leaves if order.step is Step.capture else None
    for entry, final in final_parts(hold.counted, leaves):
        value = cells.get(hold.org, entry.name, now_ms)
        given = entry.amount if was_held else 0
        if value is None:
            continue
        if entry.shape == WINDOW:
            used, held = min(MAX_MICROS, value[0] + final), max(0, value[1] - given)
            cells.put(hold.org, entry.name, (used, held), now_ms)
        elif entry.shape == GAUGE:
            if value - given > 0:
                cells.put(hold.org, entry.name, value - given, now_ms)
            else:
                cells.drop(hold.org, entry.name)
        else:
            bucket, current, before = value
            if bucket == entry.bucket:
                current = min(MAX_MICROS, max(0, current + final - given))
            elif bucket == entry.bucket + 1:
                before = min(MAX_MICROS, max(0, before + final - given))
            cells.put(hold.org, entry.name, (bucket, current, before), now_ms)


def end_grant(shard: Shard, org: str, grant_id: str, now_ms: int) -> int | None:
    """Remove a grant and return what was left of it, or None when there is no such grant."""
    left = shard.cells.get(org, grant_name(grant_id), now_ms)
    if left is None:
        return None
    shard.cells.drop(org, grant_name(grant_id))
    shard.grants.get(org, {}).pop(grant_id, None)
    shard.due.pop(names.due_grant(org, grant_id), None)
    bump_grants(shard, org)
    return int(left)


def sweep(shard: Shard, now_ms: int, limit: int) -> int:
    """End holds and grants whose time is over, at most `limit`, earliest first.

    Returns how many ended.
    """
    if not shard.is_open:
        return 0
    due = sorted((at, member) for member, at in shard.due.items() if at <= now_ms)[:limit]
    for _, member in due:
        lapsed = names.grant_due(member)
        if lapsed is not None:
            org, grant_id = lapsed
            currency = shard.grants[org][grant_id][0]
            left = end_grant(shard, org, grant_id, now_ms) or 0
            moved = Moved(now_ms, "lapse", grant_id, org, currency, -left, 0, 0, 0, [])
            record(shard, org, ("lapse", moved), b"", None)
            continue
        hold = shard.holds[member][0]
        finish(shard, Finish(hold.org, member, Step.expire), now_ms)
    return len(due)
