"""Stream records: what is written beside money when it moves, and read by the ledger's writer.

`out` is a store function's result, packed by Lua as an array in the order of the struct's
fields; `body` is what was asked, packed here. Both only ever grow at the end.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, NamedTuple, get_type_hints

from msgspec import Struct, msgpack

from gateway.core import names
from gateway.core.commands import Ended, Moved, Outcome
from gateway.core.entities import Grant
from gateway.core.holds import Hold
from gateway.core.request_record import (
    AdminNote,
    EndNote,
    EventRecord,
    RecordedTerms,
    RequestRecord,
)
from gateway.core.state import StoredResult
from gateway.core.terms import Terms, brief

Out = Outcome | Ended | Moved
Note = RequestRecord | EndNote | AdminNote | EventRecord


LOST = "lost"
"""A record that was never seen: it fills a hole that recovery left in a shard's sequence."""


class StreamRecord(Struct, frozen=True, gc=False):
    """One line of a shard's stream. `out` and `body` are packed.

    `terms` is the beginning of the body that many records share ("" where there is none); `kept`
    says under which idempotency key the outcome is kept, "" without one.
    """

    shard: int
    epoch: int
    seq: int
    kind: str
    out: bytes
    body: bytes
    terms: bytes = b""
    kept: bytes = b""


_encoder = msgpack.Encoder()
_FIELDS = len(RequestRecord.__struct_fields__)
_FIXARRAY, _ARRAY16 = 0x90, 0xDC
"""First byte of an array in msgpack: of up to 15 members with its length, else without."""


def _begin(count: int) -> bytes:
    """The header of an array of `count` members."""
    if count < 16:
        return bytes((_FIXARRAY + count,))
    return bytes((_ARRAY16,)) + count.to_bytes(2, "big")


def _begun(packed: bytes) -> tuple[int, int]:
    """The number of members of a packed array, and the bytes of its header."""
    if packed[0] == _ARRAY16:
        return int.from_bytes(packed[1:3], "big"), 3
    return packed[0] - _FIXARRAY, 1


_BEGIN = _begin(_FIELDS)
"""Header of a packed RequestRecord, before its terms."""
_TYPES = tuple(get_type_hints(RequestRecord).values())
_LEAST = _FIELDS - len(RequestRecord.__struct_defaults__)
_tails: dict[int, msgpack.Decoder[tuple[Any, ...]]] = {
    count: msgpack.Decoder(tuple.__class_getitem__(_TYPES[1:count]))
    for count in range(_LEAST, _FIELDS + 1)
}
"""An Asked without its terms, by how many fields it had when it was written."""
_terms = msgpack.Decoder(RecordedTerms)
_hold = msgpack.Decoder(Hold)


def _pair(out: type[Out], note: type[Note]) -> tuple[msgpack.Decoder[Out], msgpack.Decoder[Note]]:
    return msgpack.Decoder(out), msgpack.Decoder(note)


_decoders: dict[str, tuple[msgpack.Decoder[Out], msgpack.Decoder[Note]]] = {
    "authorize": _pair(Outcome, RequestRecord),
    "extend": _pair(Outcome, RequestRecord),
    "finish": _pair(Ended, EndNote),
    "grant": _pair(Moved, AdminNote),
    "void": _pair(Moved, AdminNote),
    "adjust": _pair(Moved, AdminNote),
    "lapse": _pair(Moved, AdminNote),
    "event": _pair(Moved, EventRecord),
}
_asked = msgpack.Decoder(RequestRecord)
_grant = msgpack.Decoder(Grant)
_note = msgpack.Decoder(AdminNote)
_happened = msgpack.Decoder(EventRecord)


def encode(value: Out | Note | Grant) -> bytes:
    """Pack a result, a note of what was asked, or a grant's metadata."""
    return _encoder.encode(value)


def seal(terms: Terms) -> Terms:
    """Give terms the packed beginning of every record, and hold, that is made under them."""
    terms.needs.record = _BEGIN + _encoder.encode(terms.asked)
    terms.needs.brief = _BEGIN + _encoder.encode(terms.brief)
    return terms


def encode_asked(asked: RequestRecord, terms: Terms) -> bytes:
    """Pack what was asked beyond sealed terms."""
    return _encoder.encode(asked)[len(terms.needs.record) :]


class Decoded(NamedTuple):
    """A record, its result and, where there is one, what was asked; of a lost one nothing."""

    line: StreamRecord
    out: Out | None
    note: Note | None


def read(record: StreamRecord) -> Decoded:
    """Unpack a record; of a lost one nothing is known."""
    if record.kind == LOST:
        return Decoded(record, None, None)
    return Decoded(record, *decode(record))


def decode(record: StreamRecord) -> tuple[Out, Note | None]:
    """Unpack a record's result and, where there is one, what was asked."""
    outs, bodies = _decoders[record.kind]
    if record.terms:
        count, _ = _begun(record.terms)
        tail = _tails[count].decode(_begin(count - 1) + record.body)
        return outs.decode(record.out), RequestRecord(_terms_of(record.terms), *tail)
    return outs.decode(record.out), bodies.decode(record.body) if record.body else None


@lru_cache(maxsize=8192)
def _terms_of(packed: bytes) -> RecordedTerms:
    """The terms that a record begins with; many begin with the same."""
    return _terms.decode(packed[_begun(packed)[1] :])


def encode_kept(expires_ms: int, digest: bytes, key: str) -> bytes:
    """Encode the idempotency key of a record's stored result."""
    return struct.pack("<d", expires_ms) + digest + key.encode()


def decode_kept(kept: bytes) -> StoredResult:
    """The name (within its org), digest and end of what a record's outcome is kept under."""
    (expires_ms,) = struct.unpack_from("<d", kept)
    return StoredResult(names.of_key(kept[24:].decode())[1], kept[8:24], int(expires_ms))


@lru_cache(maxsize=8192)
def brief_of(terms: bytes) -> bytes:
    """Beginning of a hold's note, for a record that begins with these terms."""
    # As many fields as the record has: those of an earlier version have fewer.
    return terms[: _begun(terms)[1]] + _encoder.encode(brief(_terms_of(terms)))


def org_of_kept(kept: bytes) -> str:
    """The org of a stored result's idempotency key."""
    return names.of_key(kept[24:].decode())[0]


def encode_hold(hold: Hold) -> bytes:
    """Pack the state of a hold."""
    return _encoder.encode(hold)


def decode_hold(packed: bytes) -> Hold:
    """The state of a hold."""
    return _hold.decode(packed)


def decode_asked(body: bytes) -> RequestRecord:
    """Decode the request of a hold or of a stored result."""
    return _asked.decode(body)


def decode_happened(body: bytes) -> EventRecord:
    """Decode a business event."""
    return _happened.decode(body)


def decode_note(body: bytes) -> AdminNote:
    """Decode what was asked of a grant, void or adjustment."""
    return _note.decode(body)


def decode_grant(meta: bytes) -> Grant:
    """A grant's metadata."""
    return _grant.decode(meta)
