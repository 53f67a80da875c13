"""Submit, shadow, activate and roll back rule sets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.catalog.policy_log import (
    EVERYBODY,
    ROLLED_BACK,
    Change,
    PoliciesInForce,
    Stored,
    in_force,
    previous,
)
from gateway.catalog.rule_matches import RuleTotals
from gateway.core.money import shown
from gateway.core.windows import DAY_MS
from gateway.errors import CallerError, Unavailable
from gateway.flows.analysis.backtest import Span, backtest
from gateway.flows.risk.assessment import reads_of
from gateway.flows.risk.compile_process import compile_elsewhere
from gateway.flows.rollout.lifecycle import (
    ATTEMPTS,
    backfill,
    change,
    made_before,
    once_of,
)
from gateway.flows.rollout.services import RolloutServices
from gateway.flows.shared.caller import Caller
from gateway.wire.requests.risk import ActivateBody, RuleSetBody
from gateway.wire.requests.spend import EmptyBody
from rules.errors import RuleError
from rules.rehearsal import rehearse
from rules.ruleset import RuleSet, load

CHANGE = "change the rules of all"
LOOKED_AT = 50_000
"""Records that the guard of an activation looks at, the newest ones of a day."""
LOOKED_BACK = 400_000
"""Records before them that new windows are counted from; with more it would take too long."""
MOST_STANDING = 8
"""Rule sets, each of which every request is assessed by."""


async def submit(services: RolloutServices, body: RuleSetBody, caller: Caller) -> Stored:
    """Take in a rule set as a draft; the same text again is the same one. Raises CallerError."""
    caller.check_unbound(CHANGE)
    # Beside the loop: a long file takes its time.
    ruleset = await asyncio.to_thread(_read, body.text)
    if await services.rulesets.count() >= services.settings.most_rulesets:
        detail = f"at most {services.settings.most_rulesets} rule sets are allowed"
        raise CallerError("too_many", detail)
    who = (caller.credential.id, services.clock.now_ms())
    made = Stored(ruleset.id, body.text, *who, body.name or "")
    if not await services.rulesets.add(made):
        return await find(services, ruleset.id)
    return made


def _read(text: str) -> RuleSet:
    try:
        ruleset = load(text)
    except RuleError as error:
        raise CallerError(
            "invalid_rule", str(error), pointer="/text", at=(error.line, error.column)
        ) from None
    failures = rehearse(ruleset, compile_elsewhere)
    if failures:
        raise CallerError("example_failed", "; ".join(map(str, failures[:5])), pointer="/text")
    return ruleset


async def find(services: RolloutServices, ruleset: str) -> Stored:
    """A rule set by its id. Raises 404."""
    found = await services.rulesets.find(ruleset)
    if found is None:
        raise CallerError("not_found", f"there is no rule set {ruleset}")
    return found


async def activate(
    services: RolloutServices, ruleset: str, body: ActivateBody, caller: Caller
) -> tuple[PoliciesInForce, bool]:
    """Set a rule set to shadow, active or retired; whether the same call did so before.

    Raises CallerError where that may not be.
    """
    caller.check_unbound(CHANGE)
    key = once_of(caller, body)
    before = made_before(await services.rulesets.changes(), key)
    if before is not None:
        return before, True
    stored = await find(services, ruleset)
    percent = EVERYBODY if body.percent is None else body.percent
    if body.mode != "active" and percent != EVERYBODY:
        raise CallerError(
            "invalid_request", "only an active rule set has a share", pointer="/percent"
        )
    if body.mode != "retired":
        # Before all that takes its time; and once more when it is done.
        tried = Change(0, ruleset, body.mode, percent, "", "", 0)
        _check_count(await services.rulesets.changes(), tried)
    if body.mode == "active":
        _check_author(services, stored, caller)
        await _check_blast(services, ruleset, body)
    reads: tuple[str, ...] = ()
    if body.mode != "retired":
        reads = reads_of((await services.rules.compiled(ruleset)).ruleset)
        await backfill(services, ruleset, reads, caller)
    said = (caller.credential.id, body.note or "", 0)
    made = Change(0, ruleset, body.mode, percent, *said, reads, key)
    before = await change(services, made, _check_count if body.mode != "retired" else None)
    if before is not None:
        return before, True
    return in_force(await services.rulesets.changes()), False


async def rollback(services: RolloutServices, caller: Caller) -> PoliciesInForce:
    """Activate what was in force before the last change. Raises CallerError.

    A retry under the same idempotency key changes nothing more.
    """
    caller.check_unbound(CHANGE)
    key = once_of(caller, EmptyBody())
    # Without a key it is not known whether somebody else's rollback was this one: once, then.
    for _ in range(ATTEMPTS if key else 1):
        changes = await services.rulesets.changes()
        before = made_before(changes, key)
        if before is not None:
            return before
        made = Rollback(services.new_id_body(""), key, services.clock.now_ms())
        steps = _steps_back(changes, made, caller)
        if await services.rulesets.change(changes[-1].n, steps):
            await services.rules.refresh()
            return in_force(await services.rulesets.changes())
    raise Unavailable("too_many_changes", "others are changing the rules; try again")


@dataclass(frozen=True)
class Rollback:
    """One rollback: its identity, its call's own, and its time (Unix ms)."""

    id: str
    once: str
    at_ms: int


def _steps_back(changes: Sequence[Change], of: Rollback, caller: Caller) -> list[Change]:
    wanted, found = previous(changes), in_force(changes)
    if wanted is None:
        raise CallerError("nothing_to_roll_back", "no rule set was in force before")
    # The one for everybody comes first, and retires all that is in force.
    made = [(ruleset, "active", percent) for ruleset, percent in reversed(wanted)]
    gone = dict(found.active).keys() - dict(wanted).keys()
    made += [(ruleset, "retired", EVERYBODY) for ruleset in sorted(gone)]
    reads = {change.ruleset: change.reads for change in changes if change.mode != "retired"}
    said = (caller.credential.id, ROLLED_BACK, of.at_ms)
    return [Change(0, *step, *said, reads[step[0]], of.once, rollback=of.id) for step in made]


def _check_count(changes: Sequence[Change], made: Change) -> None:
    now = in_force([*changes, made])
    count = len({*dict(now.active), *now.shadows})
    if count > MOST_STANDING:
        detail = f"{count - 1} rule sets are active or in shadow; retire one first"
        raise CallerError("too_many_rulesets", detail)


def _check_author(services: RolloutServices, stored: Stored, caller: Caller) -> None:
    if services.settings.rules_two_people and stored.author == caller.credential.id:
        detail = "another person than the one who submitted the rule set must activate it"
        raise CallerError("second_person_needed", detail)


async def _check_blast(services: RolloutServices, ruleset: str, body: ActivateBody) -> None:
    if body.force:
        if not body.note:
            raise CallerError(
                "invalid_request", "force needs a note that says why", pointer="/note"
            )
        return
    phased, now_ms = await services.rules.compiled(ruleset), services.clock.now_ms()
    span = Span(now_ms - DAY_MS, now_ms + DAY_MS, LOOKED_AT, most_back=LOOKED_BACK)
    found = await backtest(services, phased, span)
    if found.is_cut:
        detail = (
            f"the last {LOOKED_BACK} records do not reach back as far as its new windows, so what"
            " it would stop is not known; backtest it, then force it with a note"
        )
        raise CallerError("blast_radius", detail)
    most = services.settings.rules_most_stopped_percent
    if found.stopped_percent > most:
        detail = (
            f"of the last day's requests that were looked at it would stop {found.stopped} of"
            f" {found.requests}, and {shown(found.stopped_micros, '')} of"
            f" {shown(found.micros, '')}: more than"
            f" {most} %; force it with a note, or mend it"
        )
        raise CallerError("blast_radius", detail)


@dataclass(frozen=True)
class Report:
    """Requests and matches of a rule set by day; `behind` records are not projected yet."""

    requests: dict[str, int]
    rules: dict[tuple[str, str], RuleTotals]
    behind: int


async def report(
    services: RolloutServices, ruleset: str, days: tuple[int, int], caller: Caller
) -> Report:
    """Requests and matches of a rule set in the days [from, to). Raises 404."""
    caller.check_unbound(CHANGE)
    await find(services, ruleset)
    matches, behind = services.matches, 0
    if await services.rulesets.version():
        behind = max(0, (await services.history.head()).rows - await matches.row())
    requests = await matches.assessed(ruleset, days)
    return Report(requests, await matches.report(ruleset, days), behind)
