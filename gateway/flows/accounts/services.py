"""The parts that use cases about accounts need."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.catalog.credentials import Credentials
from gateway.catalog.listing import Listing
from gateway.flows.shared.services import SharedServices


@dataclass(frozen=True, kw_only=True)
class AccountServices(SharedServices):
    """Beyond what all share: credentials, and pages of the catalog."""

    credentials: Credentials
    listing: Listing
