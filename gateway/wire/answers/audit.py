"""Answers about changes that admins made."""

from __future__ import annotations

from typing import Any

from msgspec import json

from gateway.core.audit import AuditRow
from gateway.wire.answers.base import Answer, rfc3339
from gateway.wire.answers.spend import AdjustmentAnswer


class AuditAnswer(Answer):
    """One change: who, when, what, from what and to what.

    `before` is null for what was created, `after` for what was deleted. `hash` links the row to the
    one before it.
    """

    id: str
    at: str
    actor: str
    action: str
    org: str | None
    kind: str
    object: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str


class AdjustmentShown(AdjustmentAnswer):
    """An adjustment with the reason that a person gave."""

    note: str


def audit_answer(row: AuditRow) -> AuditAnswer:
    """Present a row of the audit log."""
    entry = row.entry
    return AuditAnswer(
        id=str(row.n),
        at=rfc3339(entry.at_ms),
        actor=entry.actor,
        action=entry.action,
        org=entry.org or None,
        kind=entry.kind,
        object=entry.id,
        before=json.decode(entry.before) if entry.before else None,
        after=json.decode(entry.after) if entry.after else None,
        hash=row.hash.hex(),
    )
