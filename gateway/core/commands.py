"""What is asked of the store, and what it answers. A reply is a value, whatever it says."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from gateway.core.counters import Counter, Source
from gateway.core.entities import Grant
from gateway.core.entity_counters import Windows
from gateway.core.holds import Hold, Step
from gateway.core.velocity import Tally


class Status(IntEnum):
    """How a store function ended. Only DONE has changed anything."""

    DONE = 0
    """Decided and recorded (the outcome says whether it was allowed)."""
    STALE = 1
    """A version or the time is not the plan's: reload, plan again."""
    CLOSED = 2
    """The shard is not open: it lost its state and was not rebuilt yet."""
    REPLAY = 3
    """The idempotency key was used for the same body: the first outcome again."""
    REUSED = 4
    """The idempotency key was used for another body."""
    ROOM = 5
    """A probe was refused; the outcome tells how much room there is."""
    ENDED = 6
    """The hold has already ended; the hold is in the reply."""
    MISSING = 7
    """There is no such hold or grant."""
    RANGE = 8
    """A balance would leave ± (2^53 - 1)."""


class Version(Struct, frozen=True, gc=False):
    """A version the plan was made from. `kind`: org, grants, plan or card."""

    kind: str
    id: str
    expected: int


class Idempotency(Struct, frozen=True, gc=False):
    """The scoped name of a key, the digest of the body it came with, and how long it is kept."""

    name: str
    digest: bytes
    ttl_ms: int


class Mode(IntEnum):
    """HOLD sets money aside, CAPTURE settles at once, DRY changes nothing."""

    HOLD = 0
    CAPTURE = 1
    DRY = 2


class PlanTemplate(Struct):
    """The part of a plan that all requests of a lineage and product share.

    `signals` are the entities whose attempts are counted. Times are Unix ms of the store's clock:
    outside [valid_from, valid_until) the store answers STALE. `record` and `brief` are opaque to
    the store: what every record, and what a hold remembers of it, begins with. `prepared` and
    `shown` are what a store and the wire derived from the rest, kept here to be derived once.
    """

    org: str
    book: str
    currency: str
    product: str
    counters: tuple[Counter, ...]
    sources: tuple[Source, ...]
    versions: tuple[Version, ...]
    signals: tuple[str, ...]
    valid_from_ms: int
    valid_until_ms: int
    record: bytes = b""
    brief: bytes = b""
    prepared: object = None
    shown: object = None


class Plan(Struct, frozen=True):
    """What must hold for a request to be allowed, and what it then changes.

    `shares` is what it adds to each counter, by what the counter measures. `refused` plans carry
    refusals already found: they are checked, counted and recorded, and move nothing. A `probe`
    that is refused changes nothing and reports the room. `extends` adds to a hold that stands.
    After `not_after_ms` the store answers STALE: nobody waits for the answer any more. `asked` is
    opaque to the store: what was asked beyond what the needs say of it. `windows`
    and `tallies` are what rules want counted: windows of each of the needs' signals, and all else:
    those that are COUNTED, then DISTINCT, FIRST and LISTED ones; `version` is the change of rules
    that everybody knows of by now.
    """

    needs: PlanTemplate
    hold_id: str
    amount: int
    shares: tuple[int, int, int, int, int]
    not_after_ms: int
    hold_ttl_ms: int
    asked: bytes
    mode: Mode = Mode.HOLD
    refused: bool = False
    probe: bool = False
    extends: bool = False
    idempotency: Idempotency | None = None
    tallies: tuple[Tally, ...] = ()
    windows: tuple[Windows, ...] = ()
    version: int = 0

    @property
    def body(self) -> bytes:
        """What was asked, for the record."""
        return self.needs.record + self.asked

    @property
    def note(self) -> bytes:
        """The part of it that a hold remembers."""
        return self.needs.brief + self.asked


class Outcome(Struct, array_like=True):
    """What the store did with a plan, and everything it saw when it did.

    `readings` are two numbers per counter, `funds` the value of each source, both before;
    `draws` what was taken from each source (empty when refused); `signals` six numbers per
    entity: attempts and micros over 1 min, 1 h and 24 h before this one; `seen` what the plan's
    windows and tallies showed before it.
    """

    allowed: bool
    now_ms: int
    readings: list[int]
    funds: list[int]
    draws: list[int]
    signals: list[int]
    hold_amount: int = 0
    hold_expires_ms: int = 0
    seen: list[int] = []


class Finish(Struct, frozen=True):
    """End a hold: capture at `cost` (0 for a release), of `tokens` (-1: not known).

    `sources` pay what exceeds the hold; without them a cost above the hold answers STALE.
    """

    org: str
    hold_id: str
    step: Step
    cost: int = 0
    tokens: int = -1
    sources: tuple[Source, ...] = ()
    versions: tuple[Version, ...] = ()
    valid_from_ms: int = 0
    valid_until_ms: int = 2**53 - 1
    has_sources: bool = False
    keep_ms: int = 600_000
    body: bytes = b""
    idempotency: Idempotency | None = None


class Part(Struct, array_like=True):
    """An amount of one balance; `gone` money ended with the balance it would go back to.

    `expires_ms` comes with what was drawn: when a balance that it created may go (0: never).
    """

    name: str
    amount: int
    gone: bool = False
    expires_ms: int = 0


class Ended(Struct, array_like=True):
    """How a hold ended: what was kept, what went back, and what was drawn beyond it."""

    now_ms: int
    hold_id: str
    status: int
    org: str
    book: str
    currency: str
    product: str
    held: int
    captured: int
    released: int
    shortfall: int
    late: bool
    kept: list[Part]
    back: list[Part]
    excess: list[Part]


class GrantOrder(Struct, frozen=True):
    """Give credit to an org. A paid grant first settles an open shortfall."""

    org: str
    currency: str
    grant: Grant
    meta: bytes
    body: bytes
    idempotency: Idempotency | None = None


class VoidOrder(Struct, frozen=True):
    """End a grant: what is left of it is gone."""

    org: str
    currency: str
    grant_id: str
    body: bytes
    idempotency: Idempotency | None = None


class AdjustOrder(Struct, frozen=True):
    """Move an org's funds by `amount`, or to `target` as available at that moment.

    A positive amount goes to the adjustments balance; a negative one is drawn from `sources`
    in their order, and what they cannot pay becomes shortfall.
    """

    org: str
    currency: str
    sources: tuple[Source, ...]
    versions: tuple[Version, ...]
    valid_from_ms: int
    valid_until_ms: int
    body: bytes
    kind: str
    amount: int = 0
    target: int | None = None
    idempotency: Idempotency | None = None


class EventOrder(Struct, frozen=True):
    """Record something that happened to an org at a moment (Unix ms), and count it.

    `tallies` are COUNTED ones, each of which it adds to.
    """

    org: str
    type: str
    id: str
    at_ms: int
    amount: int
    body: bytes
    tallies: tuple[Tally, ...] = ()
    idempotency: Idempotency | None = None


class Moved(Struct, array_like=True):
    """How funds moved by a grant, a void, a lapse or an adjustment; an event moves none.

    `amount` is signed (what the org gained), `settled` the shortfall a grant paid, `shortfall`
    the debt an adjustment left, `draws` what a negative adjustment took.
    """

    now_ms: int
    kind: str
    id: str
    org: str
    currency: str
    amount: int
    settled: int
    shortfall: int
    available: int
    draws: list[Part]


class Reply(Struct):
    """A store function's answer. `body` comes with a REPLAY: what was asked the first time.

    `position` is (epoch, seq) of the record that a DONE appended; None where it appended none.
    """

    status: Status
    now_ms: int = 0
    versions: tuple[int, ...] = ()
    outcome: Outcome | None = None
    ended: Ended | None = None
    moved: Moved | None = None
    hold: Hold | None = None
    body: bytes = b""
    position: tuple[int, int] | None = None
