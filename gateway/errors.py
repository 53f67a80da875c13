"""Faults. A denial is a value; an exception is a fault, with a code and a status hint."""

from __future__ import annotations

from typing import NamedTuple


class ProblemCode(NamedTuple):
    """Meaning of a fault's code: HTTP status, title, and whether a retry may succeed."""

    status: int
    title: str
    is_retryable: bool = False


PROBLEMS: dict[str, ProblemCode] = {
    "malformed_json": ProblemCode(400, "the body is not JSON"),
    "malformed_request": ProblemCode(400, "the request is not HTTP"),
    "unauthorized": ProblemCode(401, "the credential is missing or unknown"),
    "forbidden": ProblemCode(403, "the credential may not do this"),
    "second_person_needed": ProblemCode(403, "another person must activate it"),
    "not_found": ProblemCode(404, "it does not exist, or not for this credential"),
    "method_not_allowed": ProblemCode(405, "the path does not accept this method"),
    "body_timeout": ProblemCode(408, "the body took too long to arrive", is_retryable=True),
    "request_timeout": ProblemCode(408, "the request took too long to arrive", is_retryable=True),
    "account_changed": ProblemCode(409, "the hold belongs to another account"),
    "already_reviewed": ProblemCode(409, "the review has already been resolved"),
    "blast_radius": ProblemCode(409, "the change would deny too much"),
    "hold_already_ended": ProblemCode(409, "the hold has already ended"),
    "last_admin": ProblemCode(409, "one admin must remain"),
    "nothing_to_roll_back": ProblemCode(409, "nothing was in force before"),
    "too_many_backtests": ProblemCode(409, "too many backtests are running", is_retryable=True),
    "too_many_models": ProblemCode(409, "too many models are in shadow"),
    "too_many_reports": ProblemCode(409, "another report is being made", is_retryable=True),
    "too_many_rulesets": ProblemCode(409, "too many rule sets are active or in shadow"),
    "version_exists": ProblemCode(409, "the version exists and never changes"),
    "precondition_failed": ProblemCode(412, "it is not as If-Match or If-None-Match demands"),
    "body_too_large": ProblemCode(413, "the body is too large"),
    "unsupported_media_type": ProblemCode(415, "only application/json is accepted"),
    "amount_out_of_range": ProblemCode(422, "an amount is out of range"),
    "currency_fixed": ProblemCode(422, "the currency is fixed once money has moved"),
    "currency_mismatch": ProblemCode(422, "the currencies differ"),
    "example_failed": ProblemCode(422, "a rule contradicts its example"),
    "idempotency_key_reused": ProblemCode(422, "the idempotency key was used with another body"),
    "invalid_model": ProblemCode(422, "the model cannot be used"),
    "invalid_request": ProblemCode(422, "the request is not valid"),
    "invalid_rule": ProblemCode(422, "a rule is wrong"),
    "too_many": ProblemCode(422, "the number of these is bounded"),
    "unknown_unit": ProblemCode(422, "the product has no price for this unit"),
    "bug": ProblemCode(500, "an internal error"),
    "catalog_unavailable": ProblemCode(503, "the catalog does not answer", is_retryable=True),
    "draining": ProblemCode(503, "the gateway is stopping", is_retryable=True),
    "ledger_backlog": ProblemCode(503, "too many records wait for the ledger", is_retryable=True),
    "ledger_behind": ProblemCode(503, "the ledger has not caught up", is_retryable=True),
    "ledger_stopped": ProblemCode(503, "the ledger's writer has stopped", is_retryable=True),
    "ledger_unavailable": ProblemCode(503, "the ledger does not answer", is_retryable=True),
    "not_compiled": ProblemCode(503, "the model could not be compiled", is_retryable=True),
    "not_warm_yet": ProblemCode(503, "the counters are not backfilled yet", is_retryable=True),
    "overloaded": ProblemCode(503, "more requests arrive than can be decided", is_retryable=True),
    "plan_missing": ProblemCode(503, "the plan does not exist", is_retryable=True),
    "shards_locked": ProblemCode(503, "another process opens the shards", is_retryable=True),
    "store_unavailable": ProblemCode(503, "the store does not answer", is_retryable=True),
    "too_many_changes": ProblemCode(503, "others are changing the same object", is_retryable=True),
}
"""Every code a caller may get, by status. Two raises override theirs: the HTTP parser's 4xx, and a
stored model that cannot be used any more (409)."""


class Fault(NamedTuple):
    """One thing that is wrong, and the JSON pointer of the member ("": the whole body)."""

    pointer: str
    detail: str


class SpendgateError(Exception):
    """A fault with a stable `code` and a sentence for a person; `status` overrides the code's."""

    def __init__(self, code: str, detail: str, *, status: int = 0) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status or (PROBLEMS[code].status if code in PROBLEMS else 500)


class CallerError(SpendgateError):
    """The caller sent something that cannot be done; nothing was changed.

    `pointer` is the JSON pointer of the offending member, or "" when it is the whole request, and
    `parameter` the query parameter, where it is one; `at` is the line and column in a text.
    `faults` lists all that is wrong, where more was found than one thing.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int = 0,
        pointer: str = "",
        parameter: str = "",
        at: tuple[int, int] | None = None,
        faults: tuple[Fault, ...] = (),
    ) -> None:
        super().__init__(code, detail, status=status)
        self.pointer = pointer
        self.parameter = parameter
        self.at = at
        self.faults = faults


class OperatorError(SpendgateError):
    """The deployment is set up wrongly; the message says what to change."""


class Unavailable(SpendgateError):
    """A part we depend on does not answer now; the same call may work later."""


class Overloaded(SpendgateError):
    """More is asked for than can be done now; nothing was changed, and the same may work soon."""

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__("overloaded", detail)
        self.retry_after_s = retry_after_s


class Bug(SpendgateError):
    """Something that cannot happen happened."""

    def __init__(self, detail: str) -> None:
        super().__init__("bug", detail)
