"""What was asked, with the terms it was asked under: one half of every record.

With the store's outcome it explains a decision completely: the answer is a pure function of the
two. It holds no raw personal data. Fields are only ever added at the end.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.core.commands import Mode
from gateway.core.counters import SET_ASIDE, SLOT, Source
from gateway.core.entities import Grant, Lineage
from gateway.core.pricing import Price
from gateway.core.reasons import Refusal


class LimitTerms(Struct, frozen=True, array_like=True, gc=False):
    """A cap or rate limit that applied. `span_ms` is a cap's window end, a rate limit's width.

    `name`, `period_ms` and `is_indexed` are its counter's: what rebuilding it takes.
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


class Customer(Struct, frozen=True, array_like=True, gc=False):
    """What rules read of the org itself."""

    plan: str
    type: str
    created_ms: int
    timezone: str
    country: str = ""


class RecordedTerms(Struct, frozen=True, array_like=True):
    """What a record says of the terms: shared by all requests of a lineage and product."""

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
    """What a rule set in shadow would have done."""

    ruleset: str
    action: str
    rules: tuple[str, ...]


class Scoring(Struct, frozen=True, array_like=True, gc=False):
    """By which model a request is scored, and what follows from it.

    `cuts` are the scores from which on it is blocked, challenged, reviewed (0: never). Where there
    was no scorer, `missing` says what happens instead: allow, challenge or block; `model` is "".
    The `score` follows from the record and the model, and `reasons`, features that were unusual.
    """

    model: str
    cuts: tuple[float, float, float]
    missing: str = ""
    score: float | None = None
    reasons: tuple[str, ...] = ()


class Risk(Struct, frozen=True, array_like=True, gc=False):
    """How a request was assessed: by one rule set ("" for none), at one moment of our clock.

    `action` is the strongest of the `rules` that matched ("" for none); `unknown` counts rules that
    could not be told. A challenge `is_lifted` where the subject had passed one. `shadows` are those
    that matched before the store was asked; `version` numbers the change of rules that was the last
    one then, from which follows what stood in shadow. `scoring` is None while there is no model.
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
        """The model that it cites; "" for none."""
        return self.scoring.model if self.scoring is not None else ""

    @property
    def score(self) -> float | None:
        """The score, once it was judged; None where nothing scored it."""
        return self.scoring.score if self.scoring is not None else None

    @property
    def is_degraded(self) -> bool:
        """Whether it should have been scored and was not."""
        return self.scoring is not None and bool(self.scoring.missing)


class CountersRead(Struct, frozen=True, array_like=True, gc=False):
    """What rules had counted when a request was decided: behind the change `version`.

    `reads` names, for each number of the outcome's `seen`, what rules read it as ("" for what they
    do not, or not yet). `at_ms` is the moment of our clock as of which (0: the store's).
    """

    version: int
    reads: tuple[str, ...]
    at_ms: int = 0


class RequestRecord(Struct, array_like=True):
    """One authorize or extend as it was planned.

    `terms` come first: packed once, they are the beginning of every record made under them.
    `refusals` are those of this request alone; `shares` what it adds to counters, by measure.
    """

    terms: RecordedTerms
    id: str
    hold_id: str
    run: str
    quantity: dict[str, int] | None
    amount: int
    shares: tuple[int, int, int, int, int]
    mode: int
    extends: bool
    refusals: tuple[Refusal, ...]
    context: dict[str, str | int]
    is_partial: bool
    caller: str
    risk: Risk | None = None
    tallied: CountersRead | None = None

    @property
    def lineage(self) -> Lineage:
        """Whose request it was."""
        terms = self.terms
        return Lineage(terms.org, terms.project, terms.user, terms.key, self.run)

    @property
    def is_refused(self) -> bool:
        """Whether the plan was refused before the store was asked."""
        return bool(self.refusals or self.terms.refusals)

    @property
    def settles_itself(self) -> bool:
        """Whether it is a hold that is captured as soon as it has been assessed."""
        return self.mode == Mode.HOLD and not self.extends and not self.shares[SLOT]

    @property
    def set_aside(self) -> int:
        """What stays on hold once it is decided, in micros."""
        return 0 if self.settles_itself else self.shares[SET_ASIDE]


class EventRecord(Struct, frozen=True, array_like=True):
    """What the business saw outside authorize: of whom, when (Unix ms), and who told it.

    What was told by a credential that `is_bound` to the org counts for no other org.
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
    """That a decision nobody heard of was taken back, and the kept outcome that went with it."""

    decision: str
    kept: str


class EndNote(Struct, array_like=True):
    """What a capture or release was called with; `refusals` where risk gave the hold back."""

    quantity: dict[str, int] | None
    amount: int
    caller: str = ""
    refusals: tuple[Refusal, ...] = ()
    undo: Reversal | None = None


class AdminNote(Struct, array_like=True):
    """Who moved funds outside a request, and why; and the grant that was made, if one was."""

    note: str
    caller: str = ""
    grant: Grant | None = None
    undo: Reversal | None = None
