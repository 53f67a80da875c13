"""Judge a request after the store has counted: a pure function of its record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from gateway.core.commands import Outcome
from gateway.core.facts import Facts, facts_of, position_of, tallied_of, velocities_of
from gateway.core.request_record import RequestRecord, Risk, Shadowed
from gateway.flows.risk.assessment import (
    STOPS,
    is_assessed,
    refusals_of,
    rule_ids,
)
from gateway.flows.risk.list_hits import BLOCKED, list_hits, waits
from gateway.flows.risk.policies import Cited
from gateway.flows.risk.scoring import score_hits, scored
from rules.engine import NOTHING, Phased, strongest
from rules.ruleset import Rule


@dataclass(frozen=True)
class Known:
    """Facts of a request after the store has counted, and their time (Unix ms).

    `hits`: the built-in lists the request is on, as rules.
    """

    facts: Facts
    at_ms: int
    hits: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Weighed:
    """Verdict of a rule set after both phases."""

    action: str
    matches: tuple[Rule, ...]
    unknown: int


UNTOUCHED = Weighed("", (), 0)


def weigh(phased: Phased, first: Sequence[str], known: Known, asked: RequestRecord) -> Weighed:
    """The second phase, and what it makes of the rules (their ids) that matched in the first."""
    assert phased.after is not None
    second = phased.after.evaluate(known.facts, asked.terms.currency, known.at_ms)
    if not first and second is NOTHING:
        return UNTOUCHED
    matches = phased.merged(first, second)
    return Weighed(strongest(matches), matches, len(second.unknown))


def with_lists(found: Weighed, hits: tuple[Rule, ...]) -> Weighed:
    """Add built-in list hits; a block is stronger than all rules."""
    if not hits:
        return found
    matches = (*hits, *found.matches)
    action = "block" if any(hit.action == "block" for hit in hits) else strongest(matches)
    return Weighed(action, matches, found.unknown)


def known_after(
    asked: RequestRecord, out: Outcome, at_ms: int, more: Mapping[str, int] | None = None
) -> Known:
    """A request's facts and what the store counted before it; `more` fills missing readings."""
    facts = facts_of(asked, at_ms)
    facts.update(velocities_of(asked.terms, out.signals))
    if more:
        facts.update(more)
    facts.update(tallied_of(asked, out))
    return Known(facts, at_ms, list_hits(asked, out))


def facts_after(asked: RequestRecord, out: Outcome, at_ms: int) -> Facts:
    """All facts a model may read: the request, its counters, and funds before it."""
    known = known_after(asked, out, at_ms)
    known.facts.update(position_of(asked, out))
    return known.facts


def judge(cited: Cited, asked: RequestRecord, out: Outcome) -> tuple[RequestRecord, Outcome]:
    """Judge a record by what is known after the store: a pure function of it.

    A request that is refused only now is reported as if nothing had been taken, as its hold is
    released. Where the cited rule set is missing, the record's own refusals are all that is known.
    """
    risk, phased = asked.risk, cited.rules
    if risk is None:
        return asked, out
    is_scored = cited.model is not None and (out.allowed or is_assessed(asked, out))
    reads_store = phased is not None and (phased.after is not None or waits(asked))
    known = None
    if is_scored or (reads_store and out.allowed):
        known = known_after(asked, out, risk.at_ms)
    scoring = risk.scoring
    if is_scored and scoring is not None and cited.model is not None and known is not None:
        known.facts.update(position_of(asked, out))
        scoring = scored(cited.model, scoring, known.facts)
        risk = structs.replace(risk, scoring=scoring)
        asked = structs.replace(asked, risk=risk)
    hits = list_hits(asked, out)
    found = _found(phased, asked, out, known, hits)
    score = score_hits(scoring) if scoring is not None and out.allowed else ()
    if score:
        found = found or _first(phased, risk, hits)
        found = _with_score(found, score)
    if found is None:
        return asked, out
    return _weighed(phased, asked, out, found, hits)


def _with_score(found: Weighed, score: tuple[Rule, ...]) -> Weighed:
    matches = (*found.matches, *score)
    is_listed = any(rule.id.startswith(BLOCKED) for rule in matches)
    action = "block" if is_listed else strongest(matches)
    return Weighed(action, matches, found.unknown)


def _weighed(
    phased: Phased | None,
    asked: RequestRecord,
    out: Outcome,
    found: Weighed,
    hits: tuple[Rule, ...],
) -> tuple[RequestRecord, Outcome]:
    """A record with what all that matched makes of it."""
    risk = asked.risk
    assert risk is not None
    names = rule_ids(found.matches)
    if phased is None:
        names = tuple(dict.fromkeys((*names, *risk.rules)))
    told = structs.replace(risk, action=found.action, rules=names, unknown=found.unknown)
    is_lifted = risk.is_lifted and found.action == "challenge"
    # What refused it before the store was asked stands in it already; an exemption lifts no list.
    is_exempt = any(rule.action == "allow" for rule in found.matches)
    refusing = found.matches if out.allowed and not is_exempt else hits
    refusals = () if is_lifted else refusals_of(found.action, refusing)
    judged = structs.replace(asked, risk=told, refusals=(*asked.refusals, *refusals))
    if not refusals or not out.allowed:
        return judged, out
    return judged, structs.replace(out, allowed=False, draws=[], hold_amount=0, hold_expires_ms=0)


def _first(phased: Phased | None, risk: Risk, hits: tuple[Rule, ...]) -> Weighed:
    """Matches from before the store, and list hits."""
    first = phased.merged(risk.rules, NOTHING) if phased is not None else ()
    return with_lists(Weighed(risk.action, first, risk.unknown), hits)


def _found(
    phased: Phased | None,
    asked: RequestRecord,
    out: Outcome,
    known: Known | None,
    hits: tuple[Rule, ...],
) -> Weighed | None:
    """Verdict of the rules that read counters; None where it adds nothing."""
    risk = asked.risk
    assert risk is not None
    if phased is not None and out.allowed and known is not None:
        if waits(asked):
            return rehearsed(phased, asked, known)
        if phased.after is not None:
            found = weigh(phased, risk.rules, known, asked)
            return with_lists(replace(found, unknown=risk.unknown + found.unknown), hits)
    return _first(phased, risk, hits) if hits else None


def rehearsed(phased: Phased, asked: RequestRecord, known: Known) -> Weighed:
    """Verdict that a rule set would have given live, computed from a record."""
    first = phased.before.evaluate(known.facts, asked.terms.currency, known.at_ms)
    found = Weighed(first.action, first.matches, len(first.unknown))
    is_lifted = asked.risk is not None and asked.risk.is_lifted and first.action == "challenge"
    is_refused = first.action in STOPS and not is_lifted and not waits(asked)
    if phased.after is not None and not is_refused:
        second = weigh(phased, rule_ids(first.matches), known, asked)
        found = Weighed(second.action, second.matches, found.unknown + second.unknown)
    return with_lists(found, known.hits)


def with_shadows(shadows: Iterable[Phased], asked: RequestRecord, out: Outcome) -> RequestRecord:
    """Add what rule sets in shadow would have done, as far as they read counters.

    Like the judgement, it follows from the record, and is computed whenever the record is read.
    """
    late = [shadow for shadow in shadows if shadow.after is not None or waits(asked)]
    risk = asked.risk
    if not late or risk is None or not is_assessed(asked, out):
        return asked
    known = known_after(asked, out, risk.at_ms)
    told = {shadow.ruleset: shadow for shadow in risk.shadows}
    for shadow in late:
        name, found = shadow.ruleset.id, rehearsed(shadow, asked, known)
        if found.matches:
            told[name] = Shadowed(name, found.action, rule_ids(found.matches))
    return structs.replace(asked, risk=structs.replace(risk, shadows=tuple(told.values())))
