"""Faults as application/problem+json (RFC 9457), each with a stable type."""

from __future__ import annotations

from msgspec import UNSET, UnsetType, json

from gateway.errors import CallerError, SpendgateError
from gateway.wire.answers.base import Answer

TYPE_PREFIX = "urn:spendgate:problem:"

TITLES = {
    "malformed_request": "the request is not http",
    "request_timeout": "the request took too long to arrive",
    "malformed_json": "the body is not json",
    "invalid_request": "the request is not valid",
    "unauthorized": "no or bad credentials",
    "forbidden": "the credential may not do this",
    "not_found": "there is no such thing here",
    "method_not_allowed": "this path does not take this method",
    "body_too_large": "the body is too large",
    "body_timeout": "the body took too long to arrive",
    "unsupported_media_type": "only application/json is understood",
    "idempotency_key_reused": "the idempotency key came with another body",
    "last_admin": "somebody must be able to administer",
    "hold_already_ended": "the hold has already ended",
    "account_changed": "the hold belongs to another account",
    "version_exists": "this version exists and never changes",
    "amount_out_of_range": "an amount lies outside the range",
    "unknown_unit": "the product is not priced in this unit",
    "currency_mismatch": "the currencies differ",
    "currency_fixed": "the currency is fixed once money has moved",
    "store_unavailable": "the store does not answer",
    "overloaded": "more is asked for than can be done now",
    "catalog_unavailable": "the catalog does not answer",
    "ledger_unavailable": "the ledger does not answer",
    "draining": "the gateway is being stopped",
    "ledger_behind": "the ledger is behind",
    "ledger_stopped": "the ledger's writer has stopped",
    "ledger_backlog": "the ledger is too far behind",
    "shards_locked": "somebody else opens the shards",
    "too_many_changes": "others are changing the same thing",
    "not_warm_yet": "what is to be read is not known yet",
    "too_many_backtests": "too many backtests are running",
    "invalid_rule": "a rule is wrong",
    "invalid_model": "the model is not taken",
    "not_compiled": "the model could not be read",
    "too_many_reports": "another report is being made",
    "too_many_models": "too many models are in shadow",
    "example_failed": "a rule does not do what its example says",
    "blast_radius": "the rule set would stop too much",
    "second_person_needed": "somebody else must activate it",
    "too_many": "there may be no more of these",
    "too_many_rulesets": "too many rule sets are active or in shadow",
    "nothing_to_roll_back": "nothing was in force before",
    "plan_missing": "the plan is missing",
    "bug": "an internal error",
}


class ErrorItem(Answer):
    """One thing that was wrong, by JSON pointer; in a text with its line and column, from 1."""

    pointer: str
    detail: str
    line: int | UnsetType = UNSET
    column: int | UnsetType = UNSET


class Problem(Answer):
    """A fault."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ErrorItem] | UnsetType = UNSET


def problem(error: SpendgateError) -> Problem:
    """Convert a fault to a problem. A bug reveals nothing of the inside."""
    detail = "please report this; nothing more is told" if error.code == "bug" else error.detail
    errors: list[ErrorItem] | UnsetType = UNSET
    if isinstance(error, CallerError) and (error.pointer or error.status == 422):
        line, column = error.at or (UNSET, UNSET)
        errors = [ErrorItem(pointer=error.pointer, detail=detail, line=line, column=column)]
    return Problem(
        type=TYPE_PREFIX + error.code,
        title=TITLES.get(error.code, error.code.replace("_", " ")),
        status=error.status,
        detail=detail,
        errors=errors,
    )


def encode(value: Problem) -> bytes:
    """The problem as bytes; text that is no Unicode is shown escaped."""
    try:
        return json.encode(value)
    except UnicodeEncodeError:
        value.detail = value.detail.encode("ascii", "backslashreplace").decode()
        value.errors = UNSET
        return json.encode(value)
