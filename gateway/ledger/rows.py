"""One stream record becomes rows of the three datasets. Pure; each ledger database writes them."""

from __future__ import annotations

from msgspec import json

from gateway.core import postings
from gateway.core.decision import conclude
from gateway.core.orders import Ended, Mode, Moved, Outcome
from gateway.core.postings import Posting
from gateway.core.reasons import Reason
from gateway.core.record import Asked, EndNote
from gateway.errors import Bug
from gateway.wire import records
from gateway.wire.records import StreamRecord

RecordRow = tuple[int, int, int, str, str, str, str, str, str, int, bool, str, int, bytes, bytes]
ChargeRow = tuple[int, int, int, str, str, str, str, int, int, int, str]


class Rows:
    """The rows of a batch of records, in order."""

    def __init__(self) -> None:
        self.records: list[RecordRow] = []
        self.charges: list[ChargeRow] = []
        self.postings: list[tuple[StreamRecord, list[Posting]]] = []

    def add(self, record: StreamRecord) -> None:
        """Add one record."""
        out, note = records.decode(record.kind, record.out, record.body)
        if isinstance(out, Outcome) and isinstance(note, Asked):
            self._add_outcome(record, out, note)
        elif isinstance(out, Ended):
            self._add_ended(record, out, note if isinstance(note, EndNote) else None)
        elif isinstance(out, Moved):
            of = (out.id, "", out.org, out.org, "")
            self._line(record, of, out.now_ms, True, out.kind, 0)
            self._post(record, postings.of_moved(out))
        else:
            raise Bug(f"a record of kind {record.kind} cannot be read")

    def _line(
        self,
        record: StreamRecord,
        of: tuple[str, str, str, str, str],
        at_ms: int,
        allowed: bool,
        reason: str,
        held: int,
    ) -> None:
        position = (record.shard, record.epoch, record.seq)
        self.records.append(
            (*position, record.kind, *of, at_ms, allowed, reason, held, record.out, record.body)
        )

    def _post(self, record: StreamRecord, moves: list[Posting]) -> None:
        if moves:
            self.postings.append((record, moves))

    def _add_outcome(self, record: StreamRecord, out: Outcome, asked: Asked) -> None:
        reason = ""
        if not out.allowed:
            reasons = conclude(asked, out).reasons
            reason = Reason(reasons[0].code).name if reasons else ""
        holds = out.allowed and asked.mode == Mode.HOLD
        hold_id = asked.hold_id if holds else ""
        of = (asked.id, hold_id, asked.terms.org, asked.terms.book, asked.terms.product)
        self._line(record, of, out.now_ms, out.allowed, reason, asked.amount if holds else 0)
        self._post(record, postings.of_outcome(asked, out))
        if out.allowed and asked.mode == Mode.CAPTURE:
            amounts = (out.now_ms, asked.amount, 0)
            terms = asked.terms
            whose = (terms.org, terms.book, terms.product, terms.currency)
            self._charge(record, whose, amounts, asked.quantity)

    def _add_ended(self, record: StreamRecord, out: Ended, note: EndNote | None) -> None:
        of = (out.hold_id, out.hold_id, out.org, out.book, out.product)
        status = ("held", "captured", "released", "expired")[out.status]
        self._line(record, of, out.now_ms, True, status, 0)
        self._post(record, postings.of_ended(out))
        if status == "captured":
            amounts = (out.now_ms, out.captured, out.shortfall)
            whose = (out.org, out.book, out.product, out.currency)
            self._charge(record, whose, amounts, note.quantity if note else None)

    def _charge(
        self,
        record: StreamRecord,
        whose: tuple[str, str, str, str],
        amounts: tuple[int, int, int],
        quantity: dict[str, int] | None,
    ) -> None:
        position = (record.shard, record.epoch, record.seq)
        text = json.encode(quantity or {}).decode()
        self.charges.append((*position, *whose, *amounts, text))
