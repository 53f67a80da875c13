"""Stream records: what is written beside money when it moves, and read by the ledger's writer.

`out` is a store function's result, packed by Lua as an array in the order of the struct's
fields; `body` is what was asked, packed here. Both only ever grow at the end.
"""

from __future__ import annotations

from msgspec import Struct, msgpack

from gateway.core.entities import Grant
from gateway.core.orders import Ended, Moved, Outcome
from gateway.core.record import AdminNote, Asked, EndNote
from gateway.core.terms import Terms

Out = Outcome | Ended | Moved
Note = Asked | EndNote | AdminNote


class StreamRecord(Struct, frozen=True):
    """One line of a shard's stream. `out` and `body` are packed."""

    shard: int
    epoch: int
    seq: int
    kind: str
    out: bytes
    body: bytes


_encoder = msgpack.Encoder()
_FIELDS = len(Asked.__struct_fields__)
_BEGIN = _encoder.encode([None] * _FIELDS)[:-_FIELDS]
"""How a packed Asked begins, before its terms."""


def _pair(out: type[Out], note: type[Note]) -> tuple[msgpack.Decoder[Out], msgpack.Decoder[Note]]:
    return msgpack.Decoder(out), msgpack.Decoder(note)


_decoders: dict[str, tuple[msgpack.Decoder[Out], msgpack.Decoder[Note]]] = {
    "authorize": _pair(Outcome, Asked),
    "extend": _pair(Outcome, Asked),
    "finish": _pair(Ended, EndNote),
    "grant": _pair(Moved, AdminNote),
    "void": _pair(Moved, AdminNote),
    "adjust": _pair(Moved, AdminNote),
    "lapse": _pair(Moved, AdminNote),
}
_asked = msgpack.Decoder(Asked)
_grant = msgpack.Decoder(Grant)


def encode(value: Out | Note | Grant) -> bytes:
    """Pack a result, a note of what was asked, or a grant's metadata."""
    return _encoder.encode(value)


def seal(terms: Terms) -> Terms:
    """Give terms the packed beginning of every record, and hold, that is made under them."""
    terms.needs.record = _BEGIN + _encoder.encode(terms.asked)
    terms.needs.brief = _BEGIN + _encoder.encode(terms.brief)
    return terms


def encode_asked(asked: Asked, terms: Terms) -> bytes:
    """Pack what was asked beyond sealed terms."""
    return _encoder.encode(asked)[len(terms.needs.record) :]


def decode(kind: str, out: bytes, body: bytes) -> tuple[Out, Note | None]:
    """Unpack a record's result and, where there is one, what was asked."""
    outs, bodies = _decoders[kind]
    return outs.decode(out), bodies.decode(body) if body else None


def decode_asked(body: bytes) -> Asked:
    """What was asked for a hold or under an idempotency key."""
    return _asked.decode(body)


def decode_grant(meta: bytes) -> Grant:
    """A grant's metadata."""
    return _grant.decode(meta)
