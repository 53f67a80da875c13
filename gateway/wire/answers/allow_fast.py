"""The answer to an allowed request as bytes, put together from what its terms share.

It is what encoding `answers.authorize_answer` gives, byte for byte (a property test compares the
two), for a third of the cost: nine of ten decisions allow, and most of their answer is the same
each time. Names in it are ids and units, which need no escaping.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from msgspec import Raw, json

from gateway.core.commands import Mode, Outcome
from gateway.core.counters import SLIDING, SLOT, WINDOW, room, used
from gateway.core.decision import funds_available
from gateway.core.request_record import LimitTerms, RecordedTerms, RequestRecord, Risk
from gateway.core.sources import source_label
from gateway.core.windows import FOREVER_MS
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
    """One limit of an answer: what it counts, and the bytes before and after its numbers.

    `width_ms` is that of a sliding window, 0 for other shapes; `behind` takes the rest of the limit
    in micros, or the time of the reset of a sliding window.
    """

    place: int
    share: int
    limit: int
    width_ms: int
    is_window: bool
    before: str
    behind: str


def _limit(place: int, of: LimitTerms) -> _Limit:
    row = of.row
    before = (
        f'{{"id":"{of.id}","kind":"{row.label}","level":"{of.level}","mode":"{of.mode}"'
        f',"unit":"{of.unit}","limit":{of.limit},"used":'
    )
    resets, is_window = "null", row.shape == WINDOW
    if row.shape == SLIDING:
        resets = '"%(resets)s"'
    elif is_window and of.span_ms != FOREVER_MS:
        resets = f'"{rfc3339(of.span_ms)}"'
    behind = f',"resets_at":{resets}'
    if row.is_money:
        behind += f',"remaining_micros":%(left)d,"limit_micros":{of.limit}'
    width_ms = of.span_ms if row.shape == SLIDING else 0
    return _Limit(place, of.measure, of.limit, width_ms, is_window, before, behind + "}")


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
        found, readings, shares, now_ms = [], out.readings, asked.shares, out.now_ms
        takes_slot = shares[SLOT]
        for place, share, limit, width_ms, is_window, before, behind in self._limits:
            first, second, taken = readings[2 * place], readings[2 * place + 1], shares[share]
            held = 0
            if width_ms:
                after = used(SLIDING, first, second, width_ms, now_ms) + taken
                left, taken = room(limit, after), ceil(after)
                resets = rfc3339(now_ms + width_ms - now_ms % width_ms)
                rest = behind % {"resets": resets, "left": left}
            else:
                if is_window:
                    # An immediate capture takes no slot: what it takes is used at once.
                    held = second + taken if takes_slot else second
                left, taken = max(0, limit - first - second - taken), first + second + taken - held
                rest = behind % {"left": left}
            found.append(f'{before}{taken},"held":{held},"remaining":{left}{rest}')
        return found
