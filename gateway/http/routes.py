"""The whole route table on one screen."""

from __future__ import annotations

from gateway.http import (
    accounts,
    books,
    decisions,
    lists,
    models,
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
from gateway.wire import answers as a
from gateway.wire import documents as d
from gateway.wire import messages as m
from gateway.wire import models as mm
from gateway.wire.risks import BacktestAnswer, DecisionsAnswer, EventAnswer, ItemAnswer, ItemsAnswer
from gateway.wire.stories import DecisionAnswer, LabelAnswer, LabelsAnswer, ReplayAnswer

SPEND, ADMIN, READ, MONEY = ("authorize",), ("admin",), ("admin", "read"), ("finance",)
ORG, HOLD = "/v1/orgs/{org}", "/v1/holds/{id}"
CARD = "/v1/rate_cards/{id}/versions/{version}"
CREDS, ONE_CRED = "/v1/credentials", "/v1/credentials/{id}"
USAGE = {"from": "start, included", "to": "end, excluded", "group_by": "product,day"}
PAGE = {"limit": "at most so many", "cursor": "go on behind what an answer ended with"}
LOG = {"org": "of one org", "from": "start; absent: a day ago", "to": "end, excluded", **PAGE}
SPAN = {"from": "start; absent: a day ago", "to": "end, excluded"}
LOG |= {"decision": "allow, deny or challenge", "reason": "the code of a reason"}
DAYS = {"from": "first day (UTC), included; absent: today", "to": "last day, excluded"}
ADJUST, VOID = f"{ORG}/adjustments", f"{ORG}/grants/{{id}}/void"
SETS, RISK = "/v1/rulesets", ("risk",)
MODELS = "/v1/models"
ITEMS = "/v1/lists/{name}/items"
s, p, r, w = spending, accounts, rules, reviews

# fmt: off
ROUTES = (
    Route("POST", "/v1/authorize", SPEND, s.authorize, "Decide a request", m.AuthorizeBody, a.AuthorizeAnswer),
    Route("POST", "/v1/authorize/batch", SPEND, s.authorize_batch, "Decide many", m.BatchBody, d.BatchAnswer, MAX_BATCH_BODY),
    Route("GET", HOLD, ("authorize", "read", "admin"), s.get_hold, "A hold", answer=a.HoldAnswer),
    Route("POST", HOLD + "/capture", SPEND, s.capture, "Settle a hold", m.CaptureBody, a.EndAnswer, statuses=(409,)),
    Route("POST", HOLD + "/extend", SPEND, s.extend, "Add to a hold", m.ExtendBody, a.AuthorizeAnswer, statuses=(409,)),
    Route("POST", HOLD + "/release", SPEND, s.release, "Give a hold back", m.EmptyBody, a.EndAnswer, statuses=(409,)),
    Route("PUT", ORG, ADMIN, p.put_org, "Create or change an org", m.OrgBody, d.OrgAnswer),
    Route("GET", ORG, READ, p.get_org, "An org", answer=d.OrgAnswer),
    Route("PUT", ORG + "/projects/{project}", ADMIN, p.put_project, "Register a project", m.MemberBody, d.MemberAnswer),
    Route("PUT", ORG + "/users/{user}", ADMIN, p.put_user, "Register a user", m.MemberBody, d.MemberAnswer),
    Route("PUT", ORG + "/keys/{key}", ADMIN, p.put_key, "Register a key", m.KeyBody, d.MemberAnswer),
    Route("POST", ORG + "/grants", ADMIN, p.post_grant, "Give credit", m.GrantBody, a.GrantAnswer),
    Route("POST", VOID, ADMIN, p.post_void, "End a grant", m.EmptyBody, a.VoidAnswer),
    Route("POST", ADJUST, ADMIN, p.post_adjustment, "Adjust funds", m.AdjustmentBody, a.AdjustmentAnswer),
    Route("PUT", ORG + "/caps/{id}", ADMIN, p.put_cap, "Set a cap", m.CapBody, d.CapAnswer),
    Route("DELETE", ORG + "/caps/{id}", ADMIN, p.delete_cap, "Remove a cap"),
    Route("PUT", ORG + "/rate_limits/{id}", ADMIN, p.put_rate_limit, "Set a rate limit", m.RateLimitBody, d.RateLimitAnswer),
    Route("DELETE", ORG + "/rate_limits/{id}", ADMIN, p.delete_rate_limit, "Remove a rate limit"),
    Route("PUT", ORG + "/contract", ADMIN, p.put_contract, "Sign a contract", m.ContractBody, d.ContractAnswer, MAX_CATALOG_BODY),
    Route("GET", ORG + "/balance", READ, p.get_balance, "What an org has", answer=d.BalanceAnswer),
    Route("GET", ORG + "/usage", MONEY, books.usage, "What an org was charged", answer=d.UsageAnswer, query=USAGE),
    Route("PUT", CARD, ADMIN, p.put_card_version, "Add prices", m.CardVersionBody, d.CardVersionAnswer, MAX_CATALOG_BODY, statuses=(409,)),
    Route("PUT", "/v1/plans/{id}", ADMIN, p.put_plan, "Set a plan", m.PlanBody, d.PlanAnswer),
    Route("GET", "/v1/ledger/trial_balance", MONEY, books.trial_balance, "Trial balance", answer=d.TrialBalanceAnswer),
    Route("GET", "/v1/ledger/reconcile", MONEY, books.reconcile, "Do the books agree", answer=d.ReconcileAnswer),
    Route("GET", "/v1/ledger/head", MONEY, books.head, "The end of the ledger's chain", answer=d.HeadAnswer),
    Route("GET", "/v1/decisions", ("risk", "finance"), decisions.get_decisions, "What was decided", answer=DecisionsAnswer, query=LOG),
    Route("GET", "/v1/decisions/{id}", ("risk", "finance"), decisions.get_decision, "A decision, and what followed", answer=DecisionAnswer),
    Route("POST", "/v1/decisions/{id}/replay", ("risk", "finance"), decisions.replay_decision, "Make a decision again", m.EmptyBody, ReplayAnswer),
    Route("POST", SETS, RISK, r.post_ruleset, "Hand in a rule set", m.RuleSetBody, d.RuleSetAnswer, MAX_RULES_BODY),
    Route("GET", SETS, RISK, r.get_rulesets, "All rule sets", answer=d.RuleSetsAnswer),
    Route("POST", SETS + "/rollback", RISK, r.rollback, "Put in force what was before", m.EmptyBody, d.StandingAnswer, statuses=(409,)),
    Route("GET", SETS + "/{id}", RISK, r.get_ruleset, "A rule set", answer=d.RuleSetAnswer),
    Route("POST", SETS + "/{id}/activate", RISK, r.activate, "Set what a rule set does", m.ActivateBody, d.StandingAnswer, statuses=(409,)),
    Route("POST", SETS + "/{id}/backtest", RISK, r.backtest, "Try a rule set on the past", m.SpanBody, BacktestAnswer, statuses=(202, 409)),
    Route("GET", "/v1/backtests/{id}", RISK, r.get_backtest, "How far a backtest is", answer=BacktestAnswer, statuses=(202,)),
    Route("DELETE", "/v1/backtests/{id}", RISK, r.delete_backtest, "Cancel a backtest"),
    Route("POST", MODELS, RISK, models.post_model, "Hand in a model", m.ModelBody, mm.ModelAnswer, MAX_MODEL_BODY),
    Route("GET", MODELS, RISK, models.get_models, "All models", answer=mm.ModelsAnswer),
    Route("POST", MODELS + "/rollback", RISK, models.rollback, "Let the model before score", m.EmptyBody, mm.ChampionAnswer, statuses=(409,)),
    Route("GET", MODELS + "/{id}", RISK, models.get_model, "A model", answer=mm.ModelAnswer),
    Route("GET", MODELS + "/{id}/report", RISK, models.report, "A model beside the one that scores", answer=mm.ComparisonAnswer, query=SPAN, statuses=(409,)),
    Route("POST", MODELS + "/{id}/activate", RISK, models.activate, "Set what a model does", m.ActivateModelBody, mm.ChampionAnswer, statuses=(409,)),
    Route("POST", "/v1/labels", RISK, w.post_label, "Say what a decision turned out to be", m.LabelBody, LabelAnswer),
    Route("POST", "/v1/labels/batch", RISK, w.post_labels, "Label many decisions", m.LabelsBody, LabelsAnswer, MAX_BATCH_BODY),
    Route("GET", "/v1/reviews", RISK, w.get_reviews, "Decisions to look at", answer=d.ReviewsAnswer, query=PAGE),
    Route("POST", "/v1/reviews/{decision}", RISK, w.post_review, "End a review", m.ReviewBody, LabelAnswer, statuses=(409,)),
    Route("GET", SETS + "/{id}/report", RISK, w.report, "What a rule set matches", answer=d.ReportAnswer, query=DAYS),
    Route("POST", "/v1/events", RISK, lists.post_event, "Tell what happened outside", m.EventBody, EventAnswer),
    Route("PUT", ITEMS + "/{value}", RISK, lists.put_item, "Put something on a list", m.ItemBody, ItemAnswer),
    Route("GET", ITEMS + "/{value}", RISK, lists.get_item, "What stands on a list", answer=ItemAnswer),
    Route("DELETE", ITEMS + "/{value}", RISK, lists.delete_item, "Take something off a list"),
    Route("POST", ITEMS, RISK, lists.post_items, "Put many on a list", m.ItemsBody, ItemsAnswer, MAX_BATCH_BODY),
    Route("POST", CREDS, ADMIN, service.post_credential, "Make a credential", m.CredentialBody, d.CredentialAnswer),
    Route("GET", CREDS, ADMIN, service.get_credentials, "All credentials", answer=d.CredentialsAnswer),
    Route("POST", ONE_CRED + "/rotate", ADMIN, service.rotate_credential, "Give a credential a new secret", m.RotateBody, d.CredentialAnswer),
    Route("DELETE", ONE_CRED, ADMIN, service.delete_credential, "Revoke a credential", statuses=(409,)),
)
# fmt: on
