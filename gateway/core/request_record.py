"""The request half of a record: the request, and the terms it was made under.

With the store's outcome it explains a decision completely: the answer is a pure function of the
two. It holds no raw personal data. Fields are only ever added at the end, because a record is an
array: its fields are read by their place.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.core.commands import Mode
from gateway.core.counters import SET_ASIDE, SLOT, Shares, Source
from gateway.core.entities import Grant, Lineage
from gateway.core.limits import LIMIT_KINDS, LimitKind, label_of
from gateway.core.pricing import Price
from gateway.core.reasons import Refusal


class LimitTerms(Struct, frozen=True, array_like=True, gc=False):
    """A cap or rate limit that applied.

    `kind` is a name of LIMIT_KINDS. `span_ms` is the end of a fixed window (Unix ms), or the width
    of a sliding one. `name`, `period_ms` and `is_indexed` are its counter's: what rebuilding the
    counter needs.
    """

    id: str
    kind: str
    level: str
    mode: str
    limit: int
    span_ms: int
    name: str
    period_ms: int
    is_indexed: bool = False
    units: tuple[str, ...] = ()
    share: int = 0
    """Index of the share that it counts, where it counts units."""

    @property
    def row(self) -> LimitKind:
        """Its row in the table of kinds."""
        return LIMIT_KINDS[self.kind]

    @property
    def measure(self) -> int:
        """Place of what it counts among the shares of a request."""
        return self.share or self.row.measure

    @property
    def counted_as(self) -> int | str:
        """The measure as a hold remembers it."""
        return label_of(self.units) if self.units else self.row.measure

    @property
    def unit(self) -> str:
        """Unit of its limit: micros, requests, or units joined by +."""
        return label_of(self.units) if self.units else self.row.unit


class Customer(Struct, frozen=True, array_like=True, gc=False):
    """Properties of the org itself that rules read."""

    plan: str
    type: str
    created_ms: int
    timezone: str
    country: str = ""


class RecordedTerms(Struct, frozen=True, array_like=True):
    """The terms as records have them: shared by all requests of a lineage and product."""

    org: str
    project: str
    user: str
    key: str
    product: str
    book: str
    currency: str
    price: Price | None
    refusals: tuple[Refusal, ...]
    limits: tuple[LimitTerms, ...]
    sources: tuple[Source, ...]
    versions: tuple[int, ...]
    customer: Customer | None = None


class Shadowed(Struct, frozen=True, array_like=True, gc=False):
    """The result of a rule set in shadow: what it would have done."""

    ruleset: str
    action: str
    rules: tuple[str, ...]


class Scoring(Struct, frozen=True, array_like=True, gc=False):
    """The model that scores a request, and what follows from the score.

    `cuts` are the thresholds: the scores from which on the request is blocked, challenged, reviewed
    (0: never). Where there was no scorer, `missing` says what happens instead: allow, challenge or
    block; `model` is "". The `score` follows from the record and the model, and so do `reasons`:
    features that were unusual.
    """

    model: str
    cuts: tuple[float, float, float]
    missing: str = ""
    score: float | None = None
    reasons: tuple[str, ...] = ()


class Risk(Struct, frozen=True, array_like=True, gc=False):
    """The assessment of a request by one rule set ("" for none), at one time of our clock.

    `at_ms` is that time (Unix ms). `action` is the strongest of the `rules` that matched ("" for
    none); `unknown` counts the rules whose result was unknown. A challenge `is_lifted` where the
    subject had passed a step-up. `shadows` are the results of rule sets in shadow that matched
    before the store was asked. `version` numbers the last rule change at that time, from which
    follows what was in shadow. `scoring` is None while there is no model.
    """

    ruleset: str
    at_ms: int
    action: str
    rules: tuple[str, ...]
    unknown: int
    shadows: tuple[Shadowed, ...] = ()
    is_lifted: bool = False
    version: int = 0
    scoring: Scoring | None = None

    @property
    def model(self) -> str:
        """The model that the assessment cites; "" for none."""
        return self.scoring.model if self.scoring is not None else ""

    @property
    def score(self) -> float | None:
        """The score, once the request was judged; None where nothing scored it."""
        return self.scoring.score if self.scoring is not None else None

    @property
    def is_degraded(self) -> bool:
        """True if the request should have been scored and was not."""
        return self.scoring is not None and bool(self.scoring.missing)


class CountersRead(Struct, frozen=True, array_like=True, gc=False):
    """The velocity counters that rules read when a request was decided, after the change `version`.

    `reads` has a name for each number of the outcome's `seen`: under it rules read the number (""
    where they do not, or not yet). `at_ms` is the time of our clock as of which (Unix ms; 0: the
    store's).
    """

    version: int
    reads: tuple[str, ...]
    at_ms: int = 0


class RequestRecord(Struct, array_like=True):
    """One authorize or extend as it was planned.

    `terms` come first: packed once, they are the beginning of every record made under them.
    `refusals` are those of this request alone. `shares` is what it adds to counters, by what they
    measure. Amounts are micros.
    """

    terms: RecordedTerms
    id: str
    hold_id: str
    run: str
    quantity: dict[str, int] | None
    amount: int
    shares: Shares
    mode: int
    extends: bool
    refusals: tuple[Refusal, ...]
    context: dict[str, str | int]
    is_partial: bool
    caller: str
    risk: Risk | None = None
    tallied: CountersRead | None = None
    tags: dict[str, str] = {}

    @property
    def lineage(self) -> Lineage:
        """The lineage of the request."""
        terms = self.terms
        return Lineage(terms.org, terms.project, terms.user, terms.key, self.run)

    @property
    def is_refused(self) -> bool:
        """True if the plan was refused before the store was asked."""
        return bool(self.refusals or self.terms.refusals)

    @property
    def settles_itself(self) -> bool:
        """True if it is an immediate capture: a hold that is captured as soon as it is assessed."""
        return self.mode == Mode.HOLD and not self.extends and not self.shares[SLOT]

    @property
    def set_aside(self) -> int:
        """Micros that stay on hold once the request is decided."""
        return 0 if self.settles_itself else self.shares[SET_ASIDE]


class EventRecord(Struct, frozen=True, array_like=True):
    """A business event outside authorize: of which entities, when (Unix ms), and its reporter.

    An event from a credential that `is_bound` to the org counts for no other org.
    """

    type: str
    project: str
    user: str
    key: str
    at_ms: int
    amount: int
    context: dict[str, str | int]
    caller: str
    tallied: CountersRead | None = None
    is_bound: bool = False


class Reversal(Struct, frozen=True, array_like=True):
    """The reversal of an unacknowledged decision.

    `kept` names the stored result that was deleted with it.
    """

    decision: str
    kept: str


class EndNote(Struct, array_like=True):
    """Arguments of a capture or release; `refusals` where risk released the hold."""

    quantity: dict[str, int] | None
    amount: int
    caller: str = ""
    refusals: tuple[Refusal, ...] = ()
    undo: Reversal | None = None


class AdminNote(Struct, array_like=True):
    """Caller and reason of a movement of funds outside a request, and the grant it made, if any."""

    note: str
    caller: str = ""
    grant: Grant | None = None
    undo: Reversal | None = None
