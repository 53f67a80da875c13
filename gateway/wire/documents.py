"""Answers of administration and the ledger, as the OpenAPI document describes them."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import field

from gateway.wire.answers import Answer


class BatchAnswer(Answer):
    """One answer or problem for each item, in order."""

    results: list[Any]


class OutagePart(Answer):
    """What the org may spend in a minute while the store does not answer."""

    policy: Literal["closed", "open"]
    max_open_micros: int


class OrgAnswer(Answer):
    """An org."""

    id: str
    plan: str
    name: str
    type: str
    currency: str
    credit_line_micros: int
    timezone: str
    country: str | None
    status: str
    outage: OutagePart
    created_at: str


class MemberAnswer(Answer):
    """A project, user or key."""

    id: str
    name: str
    status: str
    project: str | None = None
    user: str | None = None
    expires_at: str | None = None


class CapAnswer(Answer):
    """A cap."""

    id: str
    level: str
    window: str
    limit_micros: int
    mode: str
    target: str | None
    products: list[str] | None
    alert_at: list[int]


class RateLimitAnswer(Answer):
    """A rate limit."""

    id: str
    level: str
    unit: str
    limit: int
    window_s: int
    target: str | None


class ContractAnswer(Answer):
    """A contract."""

    rate_card: str
    version: str
    starts_at: str
    ends_at: str | None
    discount_bps: int
    products: dict[str, dict[str, Any]]


class IncludedAnswer(Answer):
    """Included quota."""

    id: str
    amount_micros: int
    period: str
    products: list[str] | None
    rollover: bool


class PlanAnswer(Answer):
    """A plan."""

    id: str
    rate_card: str
    included: list[IncludedAnswer]
    caps: list[CapAnswer]
    rate_limits: list[RateLimitAnswer]


class CardVersionAnswer(Answer):
    """A version of a rate card."""

    rate_card: str
    version: str
    effective_at: str
    currency: str
    products: dict[str, dict[str, int]]


class BalanceGrant(Answer):
    """What is left of a grant."""

    id: str
    kind: str
    remaining_micros: int
    expires_at: str | None


class BalanceIncluded(Answer):
    """What is left of an included quota."""

    id: str
    remaining_micros: int
    resets_at: str


class BalanceCap(Answer):
    """How full a cap is, for one target."""

    id: str
    level: str
    target: str | None
    mode: str
    limit_micros: int
    used_micros: int
    held_micros: int
    remaining_micros: int
    resets_at: str | None


class BalanceAnswer(Answer):
    """What an org has."""

    currency: str
    available_micros: int
    held_micros: int
    shortfall_micros: int
    credit_line_micros: int
    grants: list[BalanceGrant]
    included: list[BalanceIncluded]
    caps: list[BalanceCap]


class UsageRow(Answer):
    """Charges of one group; product and day are there when grouped by."""

    requests: int
    captured_micros: int
    shortfall_micros: int
    quantity: dict[str, int]
    product: str = ""
    day: str = ""


class UsageAnswer(Answer):
    """What an org was charged."""

    rows: list[UsageRow]


class AccountTotal(Answer):
    """All accounts of a kind."""

    kind: str
    debits_micros: int
    credits_micros: int


class CurrencyBalance(Answer):
    """The books of one currency."""

    accounts: list[AccountTotal]
    debits_micros: int
    credits_micros: int


class TrialBalanceAnswer(Answer):
    """Debits equal credits in every currency."""

    currencies: dict[str, CurrencyBalance]


class Difference(Answer):
    """What does not agree."""

    org: str
    what: str
    hot_micros: int | None
    ledger_micros: int | None


class Checked(Answer):
    """How much was compared."""

    orgs: int
    holds: int


class ReconcileAnswer(Answer):
    """Whether hot state, ledger and decisions explain each other."""

    ok: bool
    checked: Checked
    lag_s: float
    differences: list[Difference]


class HeadAnswer(Answer):
    """The end of the ledger's chain: publish it, and nothing before it can change unseen."""

    batch: int
    rows: int
    hash: str


class CredentialAnswer(Answer):
    """A new credential; the secret is shown this once."""

    id: str
    secret: str


class CredentialShown(Answer):
    """A credential without its secret."""

    id: str
    name: str
    scopes: list[str]
    org: str | None
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    allowed_networks: list[str] | None
    must_rotate: bool


class CredentialsAnswer(Answer):
    """All credentials."""

    credentials: list[CredentialShown]


class RuleSetAnswer(Answer):
    """A rule set: `mode` is draft, shadow, active or retired; `percent` its share of orgs.

    `rules` and `text` are present when a single rule set is requested.
    """

    id: str
    mode: str
    percent: int
    author: str
    created_at: str
    name: str | None = None
    rules: list[str] | None = None
    text: str | None = None


class RuleSetChange(Answer):
    """What a rule set was set to, by whom and why."""

    n: int
    ruleset: str
    mode: str
    percent: int
    author: str
    note: str
    at: str


class RuleSetsAnswer(Answer):
    """All rule sets, the newest first, and everything that was done with them, oldest first."""

    rulesets: list[RuleSetAnswer]
    changes: list[RuleSetChange]


class Share(Answer):
    """A rule set in force, and its share of orgs in percent."""

    ruleset: str
    percent: int


class PoliciesAnswer(Answer):
    """Rule sets in force, the first whose share an org falls in decides; and those in shadow."""

    active: list[Share]
    shadows: list[str]


class RuleReport(Answer):
    """What one rule matched: `mode` active where its rule set decided, else shadow.

    `share` is of the requests its rule set saw in that mode; `fraud` and `good` what labels say.
    """

    rule: str
    mode: str
    requests: int
    share: float
    amount_micros: dict[str, int]
    fraud: int
    good: int


class ReportAnswer(Answer):
    """Requests and matches of a rule set in whole days (UTC), today's up to now.

    `requests` by mode; `behind`: records of the ledger that are not projected yet.
    """

    ruleset: str
    from_: str = field(name="from")
    to: str
    requests: dict[str, int]
    rules: list[RuleReport]
    behind: int


class ReviewAnswer(Answer):
    """A decision that waits for review, and the rules it matched."""

    decision: str
    at: str
    org: str
    amount_micros: int
    currency: str
    ruleset: str
    rules: list[str]


class ReviewsAnswer(Answer):
    """Decisions that wait for review, oldest first; `cursor` requests the next page."""

    reviews: list[ReviewAnswer]
    cursor: str | None
