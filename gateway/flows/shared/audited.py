"""The audit log's entry of an admin change."""

from __future__ import annotations

from msgspec import json

from gateway.core.audit import AuditEntry
from gateway.flows.shared.caller import Caller
from gateway.flows.shared.services import SharedServices
from gateway.wire.answers.base import Answer


def audited(
    services: SharedServices,
    caller: Caller,
    kind: str,
    name: str,
    change: tuple[Answer | None, Answer | None],
    org: str = "",
    once: str | None = None,
) -> AuditEntry:
    """Describe a change of an object of a kind: as callers read it before and after.

    None is an object that did not exist before, or does not after. `org` is "" for what all
    orgs share. `once` names a change that a repeated call must not add twice.
    """
    before, after = change
    action = "delete" if after is None else "create" if before is None else "update"
    who = (services.clock.now_ms(), org, caller.credential.id)
    return AuditEntry(*who, action, kind, name, _shown(before), _shown(after), once)


def _shown(answer: Answer | None) -> bytes:
    return b"" if answer is None else json.encode(answer)
