"""Normalise list items and request fields to the text that is hashed.

A rule says which field it looks up on its list. The built-in lists are looked up with many fields,
so their items say what they are: `ip:203.0.113.9`, `user:acme/u_1`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping

from gateway.catalog.declared_counters import BUILT_IN
from gateway.core import names
from gateway.errors import CallerError
from gateway.flows.shared.pseudonyms import (
    IPV4_NETWORK_BITS,
    IPV6_NETWORK_BITS,
    MASKED,
    hashed,
    plain,
)
from gateway.wire.ids import IdFault, check_id
from rules.schema import OWN, SHARED

FIELDS = (*OWN, *SHARED, "country")
"""Fields of a request that are looked up on the built-in lists."""
_digits = re.compile(r"[0-9]{1,10}")
_country = re.compile(r"[A-Z]{2}")
_domain = re.compile(r"[^\s/@:]{1,255}")
SPELLINGS: dict[str, tuple[re.Pattern[str], Callable[[str], str]]] = {
    "country": (_country, str.upper),
    "email_domain": (_domain, lambda text: text.lower().rstrip(".")),
}
"""Shape and spelling of fields that are text; a new field of FIELDS needs a row or a case."""
HINT = "items of the built-in lists say what they are: org:acme, user:acme/u_1, ip:203.0.113.9"


def entry_of(field: str, org: str, own: Mapping[str, str], context: Mapping[str, str | int]) -> str:
    """The text of a request's field on built-in lists; "" where the request lacks it."""
    if field == "org":
        return f"org:{org}"
    if field in OWN:
        return f"{field}:{names.join(org, own[field])}" if own[field] else ""
    value = context.get(field)
    return "" if value is None else f"{field}:{value}"


def texts_of(
    name: str, value: str, secret: bytes, known_as: Callable[[str], str]
) -> tuple[str, ...]:
    """An item's value as it is hashed, in each spelling that requests may have. Raises CallerError.

    Which field a rule looks up on a list of its own is not known here: what looks like an address
    may be one, or the id of something.
    """
    if name not in BUILT_IN:
        value = _checked(value)
        return tuple(dict.fromkeys((_address(value), value, known_as(value))))
    field, _, rest = value.partition(":")
    if field not in FIELDS or not rest:
        raise _wrong(f"{HINT}; fields: {', '.join(FIELDS)}")
    return (f"{field}:{_spelled(field, rest, secret, known_as)}",)


def _spelled(field: str, value: str, secret: bytes, known_as: Callable[[str], str]) -> str:
    """A field's value as requests are known by it."""
    if field in OWN:
        if field == "org":
            return _checked(value)
        whose = names.split(value)
        if len(whose) != 2:
            detail = f"a {field} is one of an org: {field}:acme/u_1; a slash in an id is %2F"
            raise _wrong(detail)
        org, one = map(_checked, whose)
        return names.join(org, known_as(one) if field == "user" else one)
    if field in ("ip", "network"):
        spelled = _address(value)
        if ("/" in spelled) != (field == "network") or not _is_address(spelled):
            raise _wrong(f"{value!r} is no {field}")
        return hashed(secret, spelled) if field == "ip" else spelled
    if field == "asn":
        if not _digits.fullmatch(value) or not 0 <= int(value) < 2**32:
            raise _wrong(f"{value!r} is no asn, such as asn:64500")
        return str(int(value))
    if field in MASKED:
        return hashed(secret, _checked(value))
    shape, spell = SPELLINGS[field]
    text = spell(value)
    if not shape.fullmatch(text):
        raise _wrong(f"{value!r} is no {field}")
    return text


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _address(value: str) -> str:
    """An address or network in one spelling; any other text as it is."""
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return value
    if network.prefixlen == network.max_prefixlen:
        return plain(network.network_address).compressed
    known = IPV4_NETWORK_BITS if network.version == 4 else IPV6_NETWORK_BITS
    if network.prefixlen != known:
        raise _wrong(f"requests are known by their address and their /{known}, not by {value!r}")
    return str(network)


def _checked(value: str) -> str:
    try:
        return check_id(value)
    except IdFault as fault:
        raise _wrong(f"an item is spelled as an id is: {fault}") from None


def _wrong(detail: str) -> CallerError:
    return CallerError("invalid_request", detail)
