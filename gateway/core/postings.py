"""Turn records into postings of a double-entry ledger.

Each posting debits and credits the same sum. What an org may spend is a liability of ours: a draw
debits it and credits `held`; a capture debits `held` and credits `revenue`. `included` is what
plans give away, so it ends on the debit side; `shortfall` is what orgs owe us.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from gateway.core import names
from gateway.core.commands import Ended, Mode, Moved, Outcome
from gateway.core.request_record import RequestRecord
from gateway.core.sources import ADJUSTMENTS, SHORTFALL, SOURCE_KINDS, account_of, has_version

ACCOUNT_KINDS = {
    "cash": "money orgs paid for grants",
    "promotion": "credit we gave away",
    "refund": "adjustments booked as refunds",
    "credit_note": "adjustments booked as credit notes",
    "correction": "adjustments booked as corrections",
    "grant": "what is left of a grant",
    "included": "what was used of a plan's included quota",
    "adjustments": "what adjustments left to spend",
    "credit_line": "what was drawn of the credit line",
    "held": "money on hold",
    "revenue": "what was captured",
    "shortfall": "what orgs used and could not pay",
    "breakage": "grants that ended unspent",
}


class Account(Struct, frozen=True, gc=False):
    """An account of a book; `ref` is its grant or quota ("" where its kind has one account)."""

    book: str
    kind: str
    ref: str
    currency: str


class Posting(Struct, frozen=True, gc=False):
    """A movement of `amount_micros` > 0 from the credited to the debited account."""

    debit: Account
    credit: Account
    amount_micros: int


@lru_cache(maxsize=65_536)
def _account(book: str, kind: str, ref: str, currency: str) -> Account:
    # Most postings are between the same accounts: each account is made once.
    return Account(book, kind, ref, currency)


@lru_cache(maxsize=65_536)
def _source(book: str, name: str, currency: str) -> Account:
    return _account(book, *account_of(name), currency)


class _Booking:
    def __init__(self, book: str, currency: str) -> None:
        self._book, self._currency = book, currency
        self.postings: list[Posting] = []

    def account(self, kind: str, ref: str = "") -> Account:
        return _account(self._book, kind, ref, self._currency)

    def source(self, name: str) -> Account:
        return _source(self._book, name, self._currency)

    def move(self, debit: Account, credit: Account, amount: int) -> None:
        if amount:
            self.postings.append(Posting(debit, credit, amount))


def of_outcome(asked: RequestRecord, outcome: Outcome) -> list[Posting]:
    """Post an authorize: what is drawn goes on hold or, in an immediate capture, is revenue.

    A refused request posts nothing.
    """
    book, currency = asked.terms.book, asked.terms.currency
    goes_to = _account(book, "revenue" if asked.mode == Mode.CAPTURE else "held", "", currency)
    pairs = zip(asked.terms.sources, outcome.draws, strict=False)
    return [Posting(_source(book, s.name, currency), goes_to, part) for s, part in pairs if part]


def of_ended(ended: Ended) -> list[Posting]:
    """Post the end of a hold.

    Charged parts are revenue, and so are excess and shortfall. Released parts return to their
    balance, or end with their grant.
    """
    booking = _Booking(ended.book, ended.currency)
    held, revenue = booking.account("held"), booking.account("revenue")
    for part in ended.kept:
        booking.move(held, revenue, part.amount)
    for part in ended.back:
        ends = part.gone and has_version(part.name)
        goes_to = booking.account("breakage") if ends else booking.source(part.name)
        booking.move(held, goes_to, part.amount)
    for part in ended.excess:
        booking.move(booking.source(part.name), revenue, part.amount)
    booking.move(booking.account("shortfall"), revenue, ended.shortfall)
    return booking.postings


def of_moved(moved: Moved) -> list[Posting]:
    """Post a grant, a void, a lapse or an adjustment."""
    booking = _Booking(names.own_book(moved.org), moved.currency)
    grant = booking.account("grant", moved.id)
    shortfall = booking.account("shortfall")
    if moved.kind in ("paid", "promotional"):
        came_from = booking.account("cash" if moved.kind == "paid" else "promotion")
        booking.move(came_from, grant, moved.amount - moved.settled)
        booking.move(came_from, shortfall, moved.settled)
    elif moved.kind in ("void", "lapse"):
        booking.move(grant, booking.account("breakage"), -moved.amount)
    else:
        against = booking.account(moved.kind)
        if moved.amount > 0:
            booking.move(against, booking.account(ADJUSTMENTS), moved.amount)
        for part in moved.draws:
            booking.move(booking.source(part.name), against, part.amount)
        booking.move(shortfall, against, moved.shortfall)
    return booking.postings


def balance_of(kind: str, debits: int, credits: int) -> int:
    """Compute the hot balance that an account explains: what the store must hold for it."""
    if kind == "shortfall":
        return debits - credits
    return credits - debits


HOT_KINDS = (*(row.account for row in SOURCE_KINDS.values()), "held", SHORTFALL)
"""Kinds of accounts whose balance the store holds, too."""
