"""Commands to the store, and its replies.

A reply is a value, whatever its status: no status is raised as an exception.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from gateway.core.counters import MONEY, Counter, Shares, Source
from gateway.core.entities import Grant
from gateway.core.entity_counters import Windows
from gateway.core.holds import Hold, Step
from gateway.core.velocity import VelocityCounter


class Status(IntEnum):
    """The status with which a store function ended.

    Only DONE has changed anything.
    """

    DONE = 0
    """The command was decided and recorded; the outcome says whether it was allowed."""
    STALE = 1
    """A version or the time is not the plan's: reload and plan again."""
    CLOSED = 2
    """The shard is not open: it lost its state and has not been rebuilt yet."""
    REPLAY = 3
    """The idempotency key was used for the same body: the reply has the stored result."""
    REUSED = 4
    """The idempotency key was used for another body."""
    ROOM = 5
    """A probe was refused; the outcome shows how much room there is."""
    ENDED = 6
    """The hold has already ended; the reply has the hold."""
    MISSING = 7
    """No such hold or grant exists."""
    RANGE = 8
    """A balance would leave ± (2^53 - 1)."""


class Version(Struct, frozen=True, gc=False):
    """A version that the plan was made from; `kind` is org, grants, plan or card."""

    kind: str
    id: str
    expected: int


class Idempotency(Struct, frozen=True, gc=False):
    """The idempotency of a call: under which name and for how long its result is stored.

    `name` is the scoped name of the key, `digest` that of the body it came with. `ttl_ms` is how
    long the result is stored.
    """

    name: str
    digest: bytes
    ttl_ms: int


class Mode(IntEnum):
    """Effect of an authorize: HOLD sets money aside, CAPTURE charges it, DRY changes nothing."""

    HOLD = 0
    CAPTURE = 1
    DRY = 2


class PlanTemplate(Struct):
    """The part of a plan that all requests of a lineage and product share.

    `signals` are the entities whose attempts are counted. Times are Unix ms of the store's clock:
    outside [valid_from_ms, valid_until_ms) the store answers STALE. The store does not read
    `record` and `brief`: `record` begins every record, `brief` begins what a hold remembers.
    `prepared` and `shown` are what a store and the wire derived from the rest; they stay here, so
    that each is derived once.
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
    """A request compiled for the store: conditions to allow it, and the changes it then makes.

    `amount` is micros. `shares` is what the request adds to each counter, by what the counter
    measures. A `refused` plan carries refusals that were already found: it is checked, counted and
    recorded, and moves nothing. A `probe` that is refused changes nothing and reports the room. A
    plan that `extends` adds to an open hold. From `not_after_ms` on (Unix ms) the store answers
    STALE, because the caller no longer waits for the answer. The store does not read `asked`: what
    was asked beyond the template.

    The last fields are the velocity counters in play. `windows` are the declared windows of each of
    the template's signals; the other counters follow, those that are COUNTED first, then DISTINCT,
    FIRST and LISTED ones. `version` is the latest rule change that every worker knows.
    """

    needs: PlanTemplate
    hold_id: str
    amount: int
    shares: Shares
    not_after_ms: int
    hold_ttl_ms: int
    asked: bytes
    mode: Mode = Mode.HOLD
    refused: bool = False
    probe: bool = False
    extends: bool = False
    idempotency: Idempotency | None = None
    tallies: tuple[VelocityCounter, ...] = ()
    windows: tuple[Windows, ...] = ()
    version: int = 0

    @property
    def body(self) -> bytes:
        """The request with its terms, as its record has it."""
        return self.needs.record + self.asked

    @property
    def note(self) -> bytes:
        """The part of the request and its terms that its hold keeps."""
        return self.needs.brief + self.asked


class Outcome(Struct, array_like=True):
    """Result of a plan in the store, and all readings it rests on.

    `readings` are two numbers per counter and `funds` the value of each source, both before the
    request. `draws` is what was taken from each source; it is empty when the request is refused.
    `signals` are six numbers per entity: attempts and micros over 1 min, 1 h and 24 h before this
    request. `seen` is what the plan's declared windows and other velocity counters showed before
    it.
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
    """The command that ends a hold: a capture at `cost`, or a release.

    `cost` is micros (0 for a release). `finals` is what a captured request leaves in counters of
    other measures than money; one that is missing keeps its estimate. `sources` pay what exceeds
    the hold; without them a cost above the hold answers STALE.
    """

    org: str
    hold_id: str
    step: Step
    cost: int = 0
    finals: dict[int | str, int] = {}
    sources: tuple[Source, ...] = ()
    versions: tuple[Version, ...] = ()
    valid_from_ms: int = 0
    valid_until_ms: int = 2**53 - 1
    has_sources: bool = False
    keep_ms: int = 600_000
    body: bytes = b""
    idempotency: Idempotency | None = None

    @property
    def leaves(self) -> dict[int | str, int]:
        """The final amounts of a captured request in counters, by what they measure."""
        return self.finals | {MONEY: self.cost}


class Part(Struct, array_like=True):
    """An amount of one balance, in micros.

    `gone` money ended with the balance that it would return to. A drawn part has `expires_ms`: from
    when on a balance that the draw created may be deleted (Unix ms; 0: never).
    """

    name: str
    amount: int
    gone: bool = False
    expires_ms: int = 0


class Ended(Struct, array_like=True):
    """End of a hold: the amounts charged, released, and drawn beyond the hold.

    `kept` are the charged parts of the hold, `back` the released ones, `excess` those drawn beyond
    it.
    """

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
    """The command that gives credit to an org; a paid grant first pays an open shortfall."""

    org: str
    currency: str
    grant: Grant
    meta: bytes
    body: bytes
    idempotency: Idempotency | None = None


class VoidOrder(Struct, frozen=True):
    """The command that ends a grant; what is left of it is gone."""

    org: str
    currency: str
    grant_id: str
    body: bytes
    idempotency: Idempotency | None = None


class AdjustOrder(Struct, frozen=True):
    """The command that moves an org's funds by `amount`, or so that `target` is available.

    Both are micros; a `target` is compared with what is available when the command runs. A positive
    amount goes to the adjustments balance. A negative one is drawn from `sources` in their order,
    and what they cannot pay becomes shortfall.
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
    """The command that records a business event of an org, and counts it.

    `at_ms` is when it happened (Unix ms). The event adds to each of its velocity counters, all of
    which are COUNTED ones.
    """

    org: str
    type: str
    id: str
    at_ms: int
    amount: int
    body: bytes
    tallies: tuple[VelocityCounter, ...] = ()
    idempotency: Idempotency | None = None


class Moved(Struct, array_like=True):
    """Movement of funds by a grant, void, lapse or adjustment; an event moves none.

    `amount` is signed: what the org gained. `settled` is the shortfall that a grant paid,
    `shortfall` the debt that an adjustment left, `draws` what a negative adjustment took. All are
    micros.
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
    """A store function's answer.

    A REPLAY has `body`: what was asked the first time. `position` is (epoch, seq) of the record
    that a DONE appended; None where it appended none.
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
