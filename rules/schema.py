"""Fields that rules read: the only list of the facts of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rules.types import Type


@dataclass(frozen=True)
class Field:
    """A fact of a request. With `may_miss` it is not known of every request.

    With `is_name` a number identifies something as a text does, so it may be on a list.
    """

    name: str
    type: Type
    meaning: str
    may_miss: bool = False
    is_name: bool = False


FIELDS: tuple[Field, ...] = (
    Field("amount", Type.money, "what the request would cost, by its quote"),
    Field("product", Type.string, "what is asked for"),
    Field("tokens", Type.int, "the sum of all units whose name ends in _tokens", may_miss=True),
    Field("captures", Type.bool, "whether it settles at once"),
    Field("run", Type.string, "the group of calls it belongs to", may_miss=True),
    Field("credential", Type.string, "the credential of the service that asks"),
    Field("org.id", Type.string, "the customer"),
    Field("org.type", Type.string, "individual, startup or enterprise; of an account only", True),
    Field("org.plan", Type.string, "the plan it is on"),
    Field("org.is_free", Type.bool, "whether it has no account"),
    Field("org.age", Type.duration, "since its account was made", may_miss=True),
    Field("project.id", Type.string, "the project of the subject", may_miss=True),
    Field("user.id", Type.string, "the user of the subject", may_miss=True),
    Field("key.id", Type.string, "the key of the subject", may_miss=True),
    Field("context.ip", Type.string, "a keyed hash of the address", may_miss=True),
    Field("context.network", Type.string, "the address's network: /24, or /48 of IPv6", True),
    Field("context.country", Type.string, "two letters, upper case", may_miss=True),
    Field("context.asn", Type.int, "the number of the address's network operator", True, True),
    Field("context.device", Type.string, "a keyed hash of the device", may_miss=True),
    Field("context.email_domain", Type.string, "lower case", may_miss=True),
    Field("context.user_agent", Type.string, "a keyed hash of the user agent", may_miss=True),
    Field("hour", Type.int, "of the day, 0 to 23, in the org's timezone"),
    Field("weekday", Type.int, "1 (Monday) to 7, in the org's timezone"),
    Field("org.country", Type.string, "where its bills go; of an account only", may_miss=True),
    Field("dearness", Type.int, "its price in percent of the dearest product of its units", True),
)

TAGS = "tags."
"""Begin of the names of tags: callers choose what follows."""
OWN = ("org", "project", "user", "key")
"""Entities that belong to one org."""
SHARED = ("ip", "network", "asn", "device", "email_domain")
"""Entities that orgs share."""
ENTITIES = (*OWN, *SHARED)
BUILT_IN_LISTS = ("block", "allow")
"""Lists on which everything that a request names is looked up, for every request."""
LONGEST_NAME = 128
EVENTS = (
    "sign_up",
    "login",
    "payment_succeeded",
    "payment_declined",
    "chargeback",
    "auth_failed",
    "labelled_fraud",
    "labelled_good",
)
"""Types of business events. Callers report them, except the two of labels, which labels record."""
SAMES = ("product", "tier", "size", "hour")
"""Properties that requests may have in common.

They are the product, its tier (dear or not), the number of binary digits of the amount, and the
hour of the day in the org's timezone.
"""


@dataclass(frozen=True)
class Schema:
    """Names that a rule set may use."""

    fields: Mapping[str, Field]
    entities: tuple[str, ...] = ENTITIES
    events: tuple[str, ...] = EVENTS
    sames: tuple[str, ...] = SAMES
    built_in_lists: tuple[str, ...] = BUILT_IN_LISTS

    def field(self, name: str) -> Field | None:
        """Return the field of a name, or None; any tag of a caller's own is one."""
        if name.startswith(TAGS):
            return Field(name, Type.string, "a tag that the caller gave", may_miss=True)
        return self.fields.get(name)


SCHEMA = Schema({field.name: field for field in FIELDS})
