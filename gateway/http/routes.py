"""The route table of the API; pages and probes are in `app.py`."""

from __future__ import annotations

from gateway.http import (
    accounts,
    audit,
    books,
    decisions,
    lists,
    models,
    reads,
    reviews,
    rules,
    service,
    spending,
)
from gateway.http.endpoint import (
    MAX_BATCH_BODY,
    MAX_CATALOG_BODY,
    MAX_MODEL_BODY,
    MAX_RULES_BODY,
    Route,
)
from gateway.http.patch import patch
from gateway.wire.answers.accounts import (
    CapAnswer,
    CardVersionAnswer,
    ContractAnswer,
    GrantShown,
    KeyAnswer,
    MemberAnswer,
    OrgAnswer,
    PlanAnswer,
    RateCardAnswer,
    RateLimitAnswer,
)
from gateway.wire.answers.audit import AuditAnswer
from gateway.wire.answers.backtests import BacktestAnswer
from gateway.wire.answers.balance import BalanceAnswer, UsageAnswer
from gateway.wire.answers.base import PageAnswer
from gateway.wire.answers.books import HeadAnswer, ReconcileAnswer, TrialBalanceAnswer
from gateway.wire.answers.credentials import CredentialAnswer, CredentialsAnswer, CredentialShown
from gateway.wire.answers.decision_detail import (
    DecisionAnswer,
    LabelAnswer,
    LabelsAnswer,
    ReplayAnswer,
)
from gateway.wire.answers.decision_log import DecisionsAnswer
from gateway.wire.answers.lists import EventAnswer, EventShown, ItemAnswer, ItemsAnswer, ListCount
from gateway.wire.answers.models import ChampionAnswer, ComparisonAnswer, ModelAnswer, ModelsAnswer
from gateway.wire.answers.reviews import ReviewsAnswer
from gateway.wire.answers.rule_sets import (
    PoliciesAnswer,
    ReportAnswer,
    RuleSetAnswer,
    RuleSetsAnswer,
)
from gateway.wire.answers.spend import (
    AdjustmentAnswer,
    AuthorizeAnswer,
    BatchAnswer,
    EndAnswer,
    GrantAnswer,
    HoldAnswer,
    VoidAnswer,
)
from gateway.wire.requests.accounts import (
    AdjustmentBody,
    CapBody,
    CardVersionBody,
    ContractBody,
    CredentialBody,
    GrantBody,
    KeyBody,
    MemberBody,
    OrgBody,
    PlanBody,
    RateLimitBody,
    RotateBody,
)
from gateway.wire.requests.risk import (
    ActivateBody,
    ActivateModelBody,
    EventBody,
    ItemBody,
    ItemsBody,
    LabelBody,
    LabelsBody,
    ModelBody,
    ReviewBody,
    RuleSetBody,
    SpanBody,
)
from gateway.wire.requests.spend import AuthorizeBody, BatchBody, CaptureBody, EmptyBody, ExtendBody

SPEND, ADMIN, READ, MONEY = ("authorize",), ("admin",), ("admin", "read"), ("finance",)
ORG, HOLD = "/v1/orgs/{org}", "/v1/holds/{id}"
CARD = "/v1/rate_cards/{id}/versions/{version}"
CREDS, ONE_CRED = "/v1/credentials", "/v1/credentials/{id}"
USAGE = {"from": "start, included", "to": "end, excluded", "group_by": "product,day"}
LIST = {"limit": "1 to 200; absent: 50", "cursor": "next_cursor of the page before"}
PAGE = {"limit": "1 to 1000; absent: 100", "cursor": "cursor of the page before"}
LOG = {"org": "of one org", "from": "start; absent: a day ago", "to": "end, excluded", **PAGE}
SPAN = {"from": "start; absent: a day ago", "to": "end, excluded"}
LOG |= {"decision": "allow, deny or challenge", "reason": "the code of a reason"}
DAYS = {"from": "first day (UTC), included; absent: today", "to": "last day, excluded"}
ADJUST, VOID = f"{ORG}/adjustments", f"{ORG}/grants/{{id}}/void"
SETS, RISK = "/v1/rulesets", ("risk",)
MODELS = "/v1/models"
ITEMS = "/v1/lists/{name}/items"
s, p, g, r, w = spending, accounts, reads, rules, reviews
ORGS = {"plan": "on one plan", "status": "active or suspended", "type": "of one type", **LIST}
MEMBERS = {"status": "of one status", **LIST}
HOLDS = {"org": "of one org", "status": "held, captured, released or expired", **LIST}
GRANTS = {"status": "pending, active, spent, expired or voided", **LIST}
EVENTS, LABELS = {"org": "whose", **LIST}, {"decision": "of one decision", **LIST}
NEWEST, OLDEST, BY_ID = "newest first", "oldest first", "in the order of their ids"
AUDIT = {
    "org": "of one org",
    "actor": "id of a credential",
    "from": "start",
    "to": "end, excluded",
    **LIST,
}

# fmt: off
ROUTES = (
    Route("POST", "/v1/authorize", SPEND, s.authorize, "Authorize a request", AuthorizeBody, AuthorizeAnswer),
    Route("POST", "/v1/authorize/batch", SPEND, s.authorize_batch, "Authorize a batch of requests", BatchBody, BatchAnswer, MAX_BATCH_BODY),
    Route("GET", HOLD, ("authorize", "read", "admin"), s.get_hold, "Get a hold", answer=HoldAnswer),
    Route("GET", "/v1/holds", ("authorize", "read", "admin"), s.get_holds, "List holds", answer=PageAnswer[HoldAnswer], query=HOLDS, order=NEWEST),
    Route("POST", HOLD + "/capture", SPEND, s.capture, "Capture a hold", CaptureBody, EndAnswer, statuses=(409,)),
    Route("POST", HOLD + "/extend", SPEND, s.extend, "Extend a hold", ExtendBody, AuthorizeAnswer, statuses=(409,)),
    Route("POST", HOLD + "/release", SPEND, s.release, "Release a hold", EmptyBody, EndAnswer, statuses=(409,)),
    Route("PUT", ORG, ADMIN, p.put_org, "Create or update an org", OrgBody, OrgAnswer),
    patch(ORG, g.get_org, p.put_org, OrgBody, OrgAnswer, "Change an org"),
    Route("GET", ORG, READ, g.get_org, "Get an org", answer=OrgAnswer),
    Route("GET", "/v1/orgs", READ, g.get_orgs, "List orgs", answer=PageAnswer[OrgAnswer], query=ORGS, by_metadata=True, order=BY_ID),
    Route("PUT", ORG + "/projects/{project}", ADMIN, p.put_project, "Create or update a project", MemberBody, MemberAnswer),
    patch(ORG + "/projects/{project}", g.get_project, p.put_project, MemberBody, MemberAnswer, "Change a project"),
    Route("DELETE", ORG + "/projects/{project}", ADMIN, p.delete_project, "Delete a project"),
    Route("GET", ORG + "/projects", READ, g.get_projects, "List the projects of an org", answer=PageAnswer[MemberAnswer], query=MEMBERS, by_metadata=True, order=BY_ID),
    Route("GET", ORG + "/projects/{project}", READ, g.get_project, "Get a project", answer=MemberAnswer),
    Route("PUT", ORG + "/users/{user}", ADMIN, p.put_user, "Create or update a user", MemberBody, MemberAnswer),
    patch(ORG + "/users/{user}", g.get_user, p.put_user, MemberBody, MemberAnswer, "Change a user"),
    Route("DELETE", ORG + "/users/{user}", ADMIN, p.delete_user, "Delete a user"),
    Route("GET", ORG + "/users", READ, g.get_users, "List the users of an org", answer=PageAnswer[MemberAnswer], query=MEMBERS, by_metadata=True, order=BY_ID),
    Route("GET", ORG + "/users/{user}", READ, g.get_user, "Get a user", answer=MemberAnswer),
    Route("PUT", ORG + "/keys/{key}", ADMIN, p.put_key, "Create or update a key", KeyBody, KeyAnswer),
    patch(ORG + "/keys/{key}", g.get_key, p.put_key, KeyBody, KeyAnswer, "Change a key"),
    Route("DELETE", ORG + "/keys/{key}", ADMIN, p.delete_key, "Delete a key"),
    Route("GET", ORG + "/keys", READ, g.get_keys, "List the keys of an org", answer=PageAnswer[KeyAnswer], query=MEMBERS, by_metadata=True, order=BY_ID),
    Route("GET", ORG + "/keys/{key}", READ, g.get_key, "Get a key", answer=KeyAnswer),
    Route("POST", ORG + "/grants", ADMIN, p.post_grant, "Grant credit", GrantBody, GrantAnswer),
    Route("GET", ORG + "/grants", READ, g.get_grants, "List the grants of an org", answer=PageAnswer[GrantShown], query=GRANTS, by_metadata=True, order=NEWEST),
    Route("GET", ORG + "/grants/{id}", READ, g.get_grant, "Get a grant", answer=GrantShown),
    Route("POST", VOID, ADMIN, p.post_void, "Void a grant", EmptyBody, VoidAnswer),
    Route("POST", ADJUST, ADMIN, p.post_adjustment, "Adjust funds", AdjustmentBody, AdjustmentAnswer),
    Route("PUT", ORG + "/caps/{id}", ADMIN, p.put_cap, "Create or update a cap", CapBody, CapAnswer),
    patch(ORG + "/caps/{id}", g.get_cap, p.put_cap, CapBody, CapAnswer, "Change a cap"),
    Route("DELETE", ORG + "/caps/{id}", ADMIN, p.delete_cap, "Delete a cap"),
    Route("GET", ORG + "/caps", READ, g.get_caps, "List the caps of an org", answer=PageAnswer[CapAnswer], query=LIST, order=BY_ID),
    Route("GET", ORG + "/caps/{id}", READ, g.get_cap, "Get a cap", answer=CapAnswer),
    Route("PUT", ORG + "/rate_limits/{id}", ADMIN, p.put_rate_limit, "Create or update a rate limit", RateLimitBody, RateLimitAnswer),
    patch(ORG + "/rate_limits/{id}", g.get_rate_limit, p.put_rate_limit, RateLimitBody, RateLimitAnswer, "Change a rate limit"),
    Route("DELETE", ORG + "/rate_limits/{id}", ADMIN, p.delete_rate_limit, "Delete a rate limit"),
    Route("GET", ORG + "/rate_limits", READ, g.get_rate_limits, "List the rate limits of an org", answer=PageAnswer[RateLimitAnswer], query=LIST, order=BY_ID),
    Route("GET", ORG + "/rate_limits/{id}", READ, g.get_rate_limit, "Get a rate limit", answer=RateLimitAnswer),
    Route("PUT", ORG + "/contract", ADMIN, p.put_contract, "Create or update a contract", ContractBody, ContractAnswer, MAX_CATALOG_BODY),
    patch(ORG + "/contract", g.get_contract, p.put_contract, ContractBody, ContractAnswer, "Change a contract"),
    Route("GET", ORG + "/contract", READ, g.get_contract, "Get the contract of an org", answer=ContractAnswer),
    Route("GET", ORG + "/balance", READ, p.get_balance, "Get the balance of an org", answer=BalanceAnswer),
    Route("GET", ORG + "/usage", MONEY, books.usage, "Report the usage of an org", answer=UsageAnswer, query=USAGE, bound_scopes=("read",)),
    Route("PUT", CARD, ADMIN, p.put_card_version, "Create a rate-card version", CardVersionBody, CardVersionAnswer, MAX_CATALOG_BODY, statuses=(409,)),
    Route("GET", "/v1/rate_cards", READ, g.get_cards, "List rate cards", answer=PageAnswer[RateCardAnswer], query=LIST, order=BY_ID),
    Route("GET", "/v1/rate_cards/{id}", READ, g.get_card, "Get a rate card", answer=RateCardAnswer),
    Route("GET", "/v1/rate_cards/{id}/versions", READ, g.get_card_versions, "List the versions of a rate card", answer=PageAnswer[CardVersionAnswer], query=LIST, order=BY_ID),
    Route("GET", CARD, READ, g.get_card_version, "Get a rate-card version", answer=CardVersionAnswer),
    Route("PUT", "/v1/plans/{id}", ADMIN, p.put_plan, "Create or update a plan", PlanBody, PlanAnswer),
    patch("/v1/plans/{id}", g.get_plan, p.put_plan, PlanBody, PlanAnswer, "Change a plan"),
    Route("GET", "/v1/plans", READ, g.get_plans, "List plans", answer=PageAnswer[PlanAnswer], query=LIST, order=BY_ID),
    Route("GET", "/v1/plans/{id}", READ, g.get_plan, "Get a plan", answer=PlanAnswer),
    Route("GET", "/v1/ledger/trial_balance", MONEY, books.trial_balance, "Get the trial balance", answer=TrialBalanceAnswer),
    Route("GET", "/v1/ledger/reconcile", MONEY, books.reconcile, "Reconcile the books", answer=ReconcileAnswer),
    Route("GET", "/v1/ledger/head", MONEY, books.head, "Get the head of the ledger's chain", answer=HeadAnswer),
    Route("GET", "/v1/audit", ("admin", "finance"), audit.get_audit, "List changes that admins made", answer=PageAnswer[AuditAnswer], query=AUDIT, order=NEWEST),
    Route("GET", "/v1/decisions", ("risk", "finance"), decisions.get_decisions, "List decisions", answer=DecisionsAnswer, query=LOG, bound_scopes=("read",), order=NEWEST),
    Route("GET", "/v1/decisions/{id}", ("risk", "finance"), decisions.get_decision, "Get a decision", answer=DecisionAnswer, bound_scopes=("read",)),
    Route("POST", "/v1/decisions/{id}/replay", ("risk", "finance"), decisions.replay_decision, "Replay a decision", EmptyBody, ReplayAnswer),
    Route("POST", SETS, RISK, r.post_ruleset, "Submit a rule set", RuleSetBody, RuleSetAnswer, MAX_RULES_BODY),
    Route("GET", SETS, RISK, r.get_rulesets, "List rule sets", answer=RuleSetsAnswer, order=NEWEST),
    Route("POST", SETS + "/rollback", RISK, r.rollback, "Roll back to the previous rule set", EmptyBody, PoliciesAnswer, statuses=(409,)),
    Route("GET", SETS + "/{id}", RISK, r.get_ruleset, "Get a rule set", answer=RuleSetAnswer),
    Route("POST", SETS + "/{id}/activate", RISK, r.activate, "Activate, shadow or retire a rule set", ActivateBody, PoliciesAnswer, statuses=(409,)),
    Route("POST", SETS + "/{id}/backtest", RISK, r.backtest, "Start a backtest", SpanBody, BacktestAnswer, statuses=(202, 409)),
    Route("GET", "/v1/backtests/{id}", RISK, r.get_backtest, "Get a backtest", answer=BacktestAnswer, statuses=(202,)),
    Route("GET", "/v1/backtests", RISK, r.get_backtests, "List backtests", answer=PageAnswer[BacktestAnswer], query=LIST, order=BY_ID),
    Route("DELETE", "/v1/backtests/{id}", RISK, r.delete_backtest, "Cancel a backtest"),
    Route("POST", MODELS, RISK, models.post_model, "Submit a model", ModelBody, ModelAnswer, MAX_MODEL_BODY),
    Route("GET", MODELS, RISK, models.get_models, "List models", answer=ModelsAnswer, order=NEWEST),
    Route("POST", MODELS + "/rollback", RISK, models.rollback, "Roll back to the previous champion", EmptyBody, ChampionAnswer, statuses=(409,)),
    Route("GET", MODELS + "/{id}", RISK, models.get_model, "Get a model", answer=ModelAnswer),
    Route("GET", MODELS + "/{id}/report", RISK, models.report, "Compare a model with the champion", answer=ComparisonAnswer, query=SPAN, statuses=(409,)),
    Route("POST", MODELS + "/{id}/activate", RISK, models.activate, "Activate, shadow or retire a model", ActivateModelBody, ChampionAnswer, statuses=(409,)),
    Route("POST", "/v1/labels", RISK, w.post_label, "Label a decision", LabelBody, LabelAnswer),
    Route("POST", "/v1/labels/batch", RISK, w.post_labels, "Label a batch of decisions", LabelsBody, LabelsAnswer, MAX_BATCH_BODY),
    Route("GET", "/v1/labels", RISK, w.get_labels, "List labels", answer=PageAnswer[LabelAnswer], query=LABELS, order=NEWEST),
    Route("GET", "/v1/reviews", RISK, w.get_reviews, "List decisions that wait for review", answer=ReviewsAnswer, query=PAGE, order=OLDEST),
    Route("POST", "/v1/reviews/{decision}", RISK, w.post_review, "Resolve a review", ReviewBody, LabelAnswer, statuses=(409,)),
    Route("GET", SETS + "/{id}/report", RISK, w.report, "Report the matches of a rule set", answer=ReportAnswer, query=DAYS),
    Route("POST", "/v1/events", RISK, lists.post_event, "Record a business event", EventBody, EventAnswer),
    Route("GET", "/v1/events", RISK, lists.get_events, "List the business events of an org", answer=PageAnswer[EventShown], query=EVENTS, order=NEWEST),
    Route("GET", "/v1/lists", RISK, lists.get_lists, "List the lists with their counts", answer=PageAnswer[ListCount], order=BY_ID),
    Route("PUT", ITEMS + "/{value}", RISK, lists.put_item, "Put an item on a list", ItemBody, ItemAnswer),
    Route("GET", ITEMS + "/{value}", RISK, lists.get_item, "Get a list item", answer=ItemAnswer),
    Route("DELETE", ITEMS + "/{value}", RISK, lists.delete_item, "Delete a list item"),
    Route("POST", ITEMS, RISK, lists.post_items, "Put a batch of items on a list", ItemsBody, ItemsAnswer, MAX_BATCH_BODY),
    Route("POST", CREDS, ADMIN, service.post_credential, "Create a credential", CredentialBody, CredentialAnswer),
    Route("GET", CREDS, ADMIN, service.get_credentials, "List credentials", answer=CredentialsAnswer, order=OLDEST),
    Route("GET", ONE_CRED, ADMIN, service.get_credential, "Get a credential", answer=CredentialShown),
    Route("POST", ONE_CRED + "/rotate", ADMIN, service.rotate_credential, "Rotate a credential", RotateBody, CredentialAnswer),
    Route("DELETE", ONE_CRED, ADMIN, service.delete_credential, "Revoke a credential", statuses=(409,)),
)
# fmt: on
