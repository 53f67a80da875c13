"""Stream records: what is written beside money when it moves, and read by the ledger's writer.

`out` is a store function's result, packed by Lua as an array in the order of the struct's
fields; `body` is what was asked, packed here. Both only ever grow at the end.
"""

from __future__ import annotations

from msgspec import msgpack

from gateway.core.entities import Grant
from gateway.core.orders import Ended, Moved, Outcome
from gateway.core.record import AdminNote, Asked, EndNote

_encoder = msgpack.Encoder()
_decoders = {
    "authorize": (msgpack.Decoder(Outcome), msgpack.Decoder(Asked)),
    "extend": (msgpack.Decoder(Outcome), msgpack.Decoder(Asked)),
    "finish": (msgpack.Decoder(Ended), msgpack.Decoder(EndNote)),
    "grant": (msgpack.Decoder(Moved), msgpack.Decoder(AdminNote)),
    "void": (msgpack.Decoder(Moved), msgpack.Decoder(AdminNote)),
    "adjust": (msgpack.Decoder(Moved), msgpack.Decoder(AdminNote)),
    "lapse": (msgpack.Decoder(Moved), msgpack.Decoder(AdminNote)),
}
_asked = msgpack.Decoder(Asked)
_grant = msgpack.Decoder(Grant)

Out = Outcome | Ended | Moved
Note = Asked | EndNote | AdminNote


def encode(value: Out | Note | Grant) -> bytes:
    """Pack a result, a note of what was asked, or a grant's metadata."""
    return _encoder.encode(value)


def decode(kind: str, out: bytes, body: bytes) -> tuple[Out, Note | None]:
    """Unpack a record's result and, where there is one, what was asked."""
    outs, bodies = _decoders[kind]
    result: Out = outs.decode(out)
    return result, bodies.decode(body) if body else None


def decode_asked(body: bytes) -> Asked:
    """What was asked for a hold or under an idempotency key."""
    return _asked.decode(body)


def decode_grant(meta: bytes) -> Grant:
    """A grant's metadata."""
    return _grant.decode(meta)
