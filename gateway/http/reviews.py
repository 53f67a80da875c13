"""Handlers of labels, reviews and what rules matched."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from gateway.catalog.rule_matches import Review
from gateway.core.windows import DAY_MS
from gateway.errors import CallerError, SpendgateError
from gateway.flows.decisions import detail, labels, reviews
from gateway.flows.rollout import rule_sets
from gateway.flows.shared.caller import Caller
from gateway.http.endpoint import Answered, Call
from gateway.http.query import limit_in, not_ours, number_after, page_limit_in
from gateway.http.services import Services
from gateway.wire.answers.base import PageAnswer, rfc3339
from gateway.wire.answers.decision_detail import LabelAnswer, LabelsAnswer
from gateway.wire.answers.reviews import ReviewAnswer, ReviewsAnswer
from gateway.wire.answers.rule_sets import ReportAnswer, RuleReport
from gateway.wire.problems import problem
from gateway.wire.requests.risk import LabelBody, LabelsBody, ReviewBody

_cursor = re.compile(r"([0-9]{1,15}):([A-Za-z0-9_]{1,128})")
EPOCH_DAY = date(1970, 1, 1).toordinal()


async def post_label(services: Services, call: Call[LabelBody]) -> Answered[LabelAnswer]:
    """POST /v1/labels."""
    kept, is_replay = await labels.add(services, call.body, call.caller)
    return Answered(detail.label_part(kept), is_replay)


async def post_labels(services: Services, call: Call[LabelsBody]) -> Answered[LabelsAnswer]:
    """POST /v1/labels/batch."""
    results: list[object] = []
    for place, body in enumerate(call.body.labels):
        key = f"{call.caller.idempotency_key}\n{place}" if call.caller.idempotency_key else ""
        whose = Caller(call.caller.credential, call.caller.path, key)
        try:
            kept, _ = await labels.add(services, body, whose)
            results.append(detail.label_part(kept))
        except SpendgateError as error:
            results.append(problem(error))
    return Answered(LabelsAnswer(results=results))


async def get_labels(services: Services, call: Call[None]) -> Answered[PageAnswer[LabelAnswer]]:
    """GET /v1/labels."""
    query, limit = call.query, page_limit_in(call.query.get("limit"))
    before = number_after(query.get("cursor"))
    found = await labels.page(services, query.get("decision", ""), before, limit, call.caller)
    cursor = str(found[-1][0]) if len(found) == limit else None
    shown = [detail.label_part(label) for _, label in found]
    return Answered(PageAnswer(data=shown, next_cursor=cursor))


async def get_reviews(services: Services, call: Call[None]) -> Answered[ReviewsAnswer]:
    """GET /v1/reviews."""
    limit = limit_in(call.query.get("limit"))
    after = _place(call.query.get("cursor"))
    found = await reviews.waiting(services, after, limit, call.caller)
    cursor = f"{found[-1].at_ms}:{found[-1].decision}" if len(found) == limit else None
    listed = [_review(one) for one in found]
    return Answered(ReviewsAnswer(reviews=listed, cursor=cursor, data=listed, next_cursor=cursor))


async def post_review(services: Services, call: Call[ReviewBody]) -> Answered[LabelAnswer]:
    """POST /v1/reviews/{decision}."""
    name = call.ids["decision"]
    kept, is_replay = await reviews.resolve(services, name, call.body, call.caller)
    return Answered(detail.label_part(kept), is_replay)


async def report(services: Services, call: Call[None]) -> Answered[ReportAnswer]:
    """GET /v1/rulesets/{id}/report."""
    ruleset, today = call.ids["id"], services.clock.now_ms() // DAY_MS
    days = (
        _day(call.query.get("from"), "from", today),
        _day(call.query.get("to"), "to", today + 1),
    )
    found = await rule_sets.report(services, ruleset, days, call.caller)
    # A rule set that could not be compiled for a moment may have matched without being counted.
    rules = [
        RuleReport(
            rule=rule,
            mode=mode,
            requests=totals.requests,
            share=round(totals.requests / max(found.requests.get(mode, 0), totals.requests), 6),
            amount_micros=totals.micros,
            fraud=totals.fraud,
            good=totals.good,
        )
        for (mode, rule), totals in sorted(found.rules.items())
    ]
    return Answered(
        ReportAnswer(
            ruleset=ruleset,
            from_=_date(days[0]),
            to=_date(days[1]),
            requests=found.requests,
            rules=rules,
            behind=found.behind,
        )
    )


def _review(review: Review) -> ReviewAnswer:
    return ReviewAnswer(
        decision=review.decision,
        at=rfc3339(review.at_ms),
        org=review.org,
        amount_micros=review.amount_micros,
        currency=review.currency,
        ruleset=review.ruleset,
        rules=list(review.rules),
    )


def _place(text: str | None) -> tuple[int, str]:
    if text is None:
        return reviews.FIRST
    found = _cursor.fullmatch(text)
    if found is None:
        raise not_ours()
    return int(found[1]), found[2]


def _day(text: str | None, name: str, default: int) -> int:
    if text is None:
        return default
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo is None else at.astimezone(UTC)).toordinal() - EPOCH_DAY
    except (ValueError, OverflowError):
        detail = f"{name} takes a day or a time, such as 2027-01-31, not {text[:40]!r}"
        raise CallerError("invalid_request", detail, parameter=name) from None


def _date(day: int) -> str:
    return date.fromordinal(day + EPOCH_DAY).isoformat()
