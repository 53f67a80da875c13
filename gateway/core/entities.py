"""Customers, prices and limits as the catalog stores them: values without behaviour."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Level = Literal["org", "project", "user", "key", "run"]
WindowKind = Literal["minute", "hour", "day", "week", "month", "lifetime"]
Period = Literal["day", "week", "month"]
Mode = Literal["hard", "soft", "shadow"]
LimitUnit = Literal["requests", "tokens", "concurrent", "units"]
Status = Literal["active", "suspended"]
MemberKind = Literal["project", "user", "key"]
OrgType = Literal["individual", "startup", "enterprise"]
ForLevel = Literal["", "project", "user", "key"]
GrantKind = Literal["paid", "promotional"]

LEVELS: tuple[Level, ...] = ("org", "project", "user", "key", "run")


class Included(Struct, frozen=True):
    """Quota of `amount_micros` that a price plan includes in each period of the org's timezone."""

    id: str
    amount_micros: int
    period: Period
    products: tuple[str, ...] | None = None
    rollover: bool = False


class Cap(Struct, frozen=True):
    """Money or units allowed in a window.

    Money is `limit_micros`; with `units` it is `limit` of their sum instead. The window is one of
    the calendar, or with `window_s` any such span of seconds; then `window` is None.
    Without `target`, each entity of the level has its own. `generation` distinguishes a cap from an
    earlier one with the same id: a cap counts from its creation.
    """

    id: str
    level: Level
    window: WindowKind | None
    limit_micros: int
    mode: Mode = "hard"
    target: str | None = None
    products: tuple[str, ...] | None = None
    alert_at: tuple[int, ...] = ()
    generation: int = 0
    from_plan: bool = False
    units: tuple[str, ...] = ()
    limit: int = 0
    window_s: int = 0


class RateLimit(Struct, frozen=True):
    """Requests, tokens or `units` allowed in any `window_s` seconds, or holds open at once."""

    id: str
    level: Level
    unit: LimitUnit
    limit: int
    window_s: int = 60
    target: str | None = None
    generation: int = 0
    from_plan: bool = False
    units: tuple[str, ...] = ()


class PricePlan(Struct, frozen=True):
    """A price plan: a rate card, included quota, and the plan's own caps and rate limits."""

    id: str
    rate_card: str
    included: tuple[Included, ...] = ()
    caps: tuple[Cap, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    version: int = 0


class CardVersion(Struct, frozen=True):
    """An immutable version of a rate card: product → unit → micro-units per million units."""

    version: str
    effective_ms: int
    currency: str
    products: dict[str, dict[str, int]]


class RateCard(Struct, frozen=True):
    """All versions of a rate card, oldest first; `changes` counts how often one was added."""

    id: str
    changes: int
    versions: tuple[CardVersion, ...] = ()


class ProductTerms(Struct, frozen=True):
    """The terms of a contract for one product.

    None keeps the contract's discount and the card's prices.
    """

    discount_bps: int | None = None
    prices: dict[str, int] | None = None
    allowed: bool = True


class Contract(Struct, frozen=True):
    """A price version agreed until `ends_ms` (None: without end), with its own discounts."""

    rate_card: str
    version: str
    starts_ms: int
    ends_ms: int | None = None
    discount_bps: int = 0
    products: dict[str, ProductTerms] = {}
    metadata: dict[str, str] = {}


class Grant(Struct, frozen=True):
    """Credit given to an org; what is left of it is a balance in the store.

    With `level` it pays only for its `target`: a project, a user or a key ("": for all).
    """

    id: str
    kind: GrantKind
    amount_micros: int
    priority: int
    created_ms: int
    effective_ms: int | None = None
    expires_ms: int | None = None
    products: tuple[str, ...] | None = None
    metadata: dict[str, str] = {}
    level: ForLevel = ""
    target: str = ""


class Member(Struct, frozen=True):
    """A registered project, user or key of an org."""

    kind: MemberKind
    id: str
    status: str = "active"
    name: str = ""
    project: str | None = None
    user: str | None = None
    expires_ms: int | None = None
    metadata: dict[str, str] = {}


class Org(Struct, frozen=True):
    """A customer with an account; `version` counts its admin changes and is 0 for a free user."""

    id: str
    plan: str
    name: str = ""
    type: OrgType = "individual"
    currency: str = "USD"
    credit_line_micros: int = 0
    timezone: str = "UTC"
    status: Status = "active"
    version: int = 0
    created_ms: int = 0
    open_micros: int = 0
    """Micros that stand-in approvals may spend in a minute while the store is down; 0: nothing."""
    country: str = ""
    """The country of its bills: two letters, upper case; "" where that is not known."""
    metadata: dict[str, str] = {}
    had_keys: bool = False
    """True once a registered key was deleted: unregistered keys stay refused from then on."""


class Lineage(Struct, frozen=True):
    """The org, project, user and key of one request, and the run it belongs to; "" is absent."""

    org: str
    project: str = ""
    user: str = ""
    key: str = ""
    run: str = ""

    def at(self, level: Level) -> str:
        """Return the id of this request at a level; "" when the request names none."""
        return str(getattr(self, level))


class Profile(Struct, frozen=True):
    """Everything about one org that a decision reads, at one version of each part.

    Members and targeted caps are looked up per lineage, so that an enterprise of thousands does not
    travel with each request.
    """

    org: Org
    plan: PricePlan
    card: RateCard
    pinned: RateCard | None = None
    contract: Contract | None = None
    grants: tuple[Grant, ...] = ()
    grants_version: int = 0
    caps: tuple[Cap, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    has_keys: bool = False

    @property
    def is_free(self) -> bool:
        """True if this org was never created: it has no account, only expiring state."""
        return self.org.version == 0


class LineageTerms(Struct, frozen=True):
    """Registered members of a lineage, and the limits that target them."""

    lineage: Lineage
    members: tuple[Member, ...] = ()
    caps: tuple[Cap, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
