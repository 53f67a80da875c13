"""The parts that use cases about accounts need."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.catalog.audit import Audit
from gateway.catalog.credentials import Credentials
from gateway.catalog.listing import Listing
from gateway.flows.shared.services import SharedServices


@dataclass(frozen=True, kw_only=True)
class AccountServices(SharedServices):
    """Beyond what all share: credentials, the audit log, and pages of the catalog."""

    audit: Audit
    credentials: Credentials
    listing: Listing
