"""Records that were written before a field was added are read as they were."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.core import plan
from gateway.core.commands import Mode, Outcome
from gateway.core.request_record import RequestRecord, Risk, Shadowed
from gateway.core.terms import compile_terms
from gateway.wire import records
from gateway.wire.records import StreamRecord
from tests.unit.core.making import NOON, lineage, lineage_terms, profile

OUT = msgspec.msgpack.encode(Outcome(True, NOON, [], [], [], []))
RISK = Risk("rs_1", NOON, "review", ("a", "b"), 3, (Shadowed("rs_2", "block", ("c",)),))

OF_15 = b"\x9f"
"""Header of a record that was written before requests had tags: an array of 15 members."""


def asked(risk: Risk | None) -> tuple[RequestRecord, bytes, bytes]:
    """A request, and its record as terms and body."""
    who = lineage("search", "u_1", "k_1", "run-1")
    terms = records.seal(compile_terms(profile(), lineage_terms(who), "gpt", NOON))
    request = plan.Request(who, "gpt", {"input_tokens": 5}, None, Mode.HOLD, 1_000, {"asn": 7})
    made = plan.make(terms, request, "dec_1", "hold_1", 13)
    made.risk = risk
    return made, terms.needs.record, records.encode_asked(made, terms)


def read(terms: bytes, body: bytes) -> Any:
    return records.decode(StreamRecord(0, 1, 0, "authorize", OUT, body, terms))[1]


@pytest.mark.parametrize("risk", [None, RISK])
def test_a_record_is_read_as_it_was_written(risk: Risk | None) -> None:
    made, terms, body = asked(risk)
    assert read(terms, body) == made


def test_a_record_without_what_came_later_is_read_without_it() -> None:
    made, terms, body = asked(None)
    earlier = msgspec.msgpack.decode(terms[3:])[:-1]
    shorter = OF_15 + msgspec.msgpack.encode(earlier)
    found = read(shorter, body.removesuffix(msgspec.msgpack.encode({})))
    assert found.risk is None
    assert found.terms.customer is None
    assert msgspec.structs.replace(found, terms=made.terms) == made


def test_a_hold_of_a_record_written_before_is_remembered_so_that_it_can_be_read() -> None:
    made, terms, body = asked(None)
    shorter = OF_15 + terms[3:]
    note = records.brief_of(shorter) + body.removesuffix(msgspec.msgpack.encode({}))
    found = records.decode_asked(note)
    assert (found.id, found.terms.product, found.risk) == (made.id, "gpt", None)
