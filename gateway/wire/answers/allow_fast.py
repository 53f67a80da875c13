"""The answer to an allowed request as bytes, put together from what its terms share.

It is what encoding `answers.authorize_answer` gives, byte for byte (a property test compares the
two), for a third of the cost: nine of ten decisions allow, and most of their answer is the same
each time. Names in it are ids and units, which need no escaping.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Raw, json

from gateway.core.commands import Mode, Outcome
from gateway.core.decision import funds_available, limit_state
from gateway.core.request_record import LimitTerms, RecordedTerms, RequestRecord, Risk
from gateway.core.sources import source_label
from gateway.wire.answers.base import rfc3339

_json = json.Encoder().encode
NO_RISK = '{"score":null,"rules":[],"ruleset":null,"model":null,"review":false}'


def _risk(risk: Risk | None) -> str:
    if risk is None:
        return NO_RISK
    rules = ",".join([f'"{rule}"' for rule in risk.rules])
    ruleset = f'"{risk.ruleset}"' if risk.ruleset else "null"
    review = "true" if risk.action == "review" else "false"
    score = _json(risk.score).decode()
    model = f'"{risk.model}"' if risk.model else "null"
    return (
        f'{{"score":{score},"rules":[{rules}],"ruleset":{ruleset},"model":{model},'
        f'"review":{review}}}'
    )


def _degraded(risk: Risk | None) -> str:
    return "true" if risk is not None and risk.is_degraded else "false"


class _Limit(NamedTuple):
    """One limit of an answer: the bytes before its numbers, and after them."""

    place: int
    before: str
    behind: str


def _limit(place: int, of: LimitTerms) -> _Limit:
    before = (
        f'{{"id":"{of.id}","kind":"{of.row.label}","level":"{of.level}","mode":"{of.mode}"'
        f',"unit":"{of.unit}","limit":{of.limit}'
    )
    behind = f',"limit_micros":{of.limit}}}' if of.row.is_money else "}"
    return _Limit(place, before, behind)


class AllowedAnswers:
    """Encodes the answers to requests that were allowed under some terms."""

    def __init__(self, terms: RecordedTerms) -> None:
        price = terms.price
        card = f'"{price.card}@{price.version}"' if price is not None else "null"
        self._units = price.units if price is not None else None
        self._currency = f',"currency":"{terms.currency}","rate_card":{card},"lines":['
        self._discount = f'],"discount_bps":{price.discount_bps if price is not None else 0}}}'
        self._sources = [f'{{"source":"{source_label(s.name)}"' for s in terms.sources]
        shown = (i for i, limit in enumerate(terms.limits) if limit.mode != "shadow")
        self._limits = [_limit(i, terms.limits[i]) for i in shown]

    def encode(self, asked: RequestRecord, out: Outcome) -> Raw:
        """The answer to a request that was allowed."""
        hold = "null"
        if asked.mode == Mode.HOLD and not asked.settles_itself:
            hold = (
                f'{{"id":"{asked.hold_id}","amount_micros":{out.hold_amount}'
                f',"expires_at":"{rfc3339(out.hold_expires_ms)}"}}'
            )
        draws = [
            f'{source},"amount_micros":{part}}}'
            for source, part in zip(self._sources, out.draws, strict=False)
            if part
        ]
        granted = "null"
        if asked.is_partial and asked.quantity is not None:
            granted = "{" + ",".join([f'"{u}":{n}' for u, n in asked.quantity.items()]) + "}"
        held = out.readings[-2] + asked.set_aside
        text = (
            f'{{"id":"{asked.id}","decision":"allow","reasons":[],"status_hint":200,"hold":{hold}'
            f',"quote":{{"amount_micros":{asked.amount}{self._currency}{self._lines(asked)}'
            f'{self._discount},"draws":[{",".join(draws)}],"granted_quantity":{granted}'
            f',"balance":{{"available_micros":{funds_available(asked, out) - asked.amount}'
            f',"held_micros":{held}}},"limits":[{",".join(self._states(asked, out))}]'
            f',"risk":{_risk(asked.risk)},"degraded":{_degraded(asked.risk)}}}'
        )
        return Raw(text.encode())

    def _lines(self, asked: RequestRecord) -> str:
        if self._units is None or asked.quantity is None:
            return ""
        return ",".join(
            [
                f'{{"unit":"{unit}","quantity":{count}'
                f',"price_micros_per_million":{self._units[unit]}}}'
                for unit, count in asked.quantity.items()
            ]
        )

    def _states(self, asked: RequestRecord, out: Outcome) -> list[str]:
        found = []
        for place, before, behind in self._limits:
            state = limit_state(asked, out, place)
            resets = f'"{rfc3339(state.resets_ms)}"' if state.resets_ms else "null"
            numbers = f',"used":{state.used},"held":{state.held},"remaining":{state.remaining}'
            micros = f',"remaining_micros":{state.remaining}' if behind != "}" else ""
            found.append(f'{before}{numbers},"resets_at":{resets}{micros}{behind}')
        return found
