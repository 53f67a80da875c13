"""Replace personal data by keyed hashes and networks."""

from __future__ import annotations

import hashlib
import ipaddress

from gateway.errors import CallerError
from gateway.wire.requests.spend import Context

IPV4_NETWORK_BITS, IPV6_NETWORK_BITS = 24, 48


MASKED = ("ip", "device", "user_agent")
"""Members of a request of which only a keyed hash is stored."""


def hashed(secret: bytes, value: str) -> str:
    """A keyed hash of a value: the same for the same value in one deployment, and no way back."""
    text = value.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, key=secret, digest_size=12).hexdigest()


def masked(context: Context | None, secret: bytes) -> dict[str, str | int]:
    """The context without raw personal data. Raises CallerError when the ip is no address."""
    if context is None:
        return {}
    facts: dict[str, str | int] = {}
    if context.ip is not None:
        try:
            address = ipaddress.ip_address(context.ip)
        except ValueError:
            detail = f"{context.ip!r} is no ip address"
            raise CallerError("invalid_request", detail, pointer="/context/ip") from None
        address = plain(address)
        facts["ip"] = hashed(secret, address.compressed)
        facts["network"] = _network(address)
    if context.country is not None:
        facts["country"] = context.country.upper()
    if context.asn is not None:
        facts["asn"] = context.asn
    if context.device is not None:
        facts["device"] = hashed(secret, context.device)
    if context.email_domain is not None:
        facts["email_domain"] = context.email_domain.lower().rstrip(".")
    if context.user_agent is not None:
        facts["user_agent"] = hashed(secret, context.user_agent)
    return facts


def plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Normalise an address: IPv4 within IPv6 becomes IPv4, an interface name is cut off."""
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or ipaddress.IPv6Address(int(address))
    return address


def _network(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if isinstance(address, ipaddress.IPv4Address):
        return str(ipaddress.IPv4Network((int(address), IPV4_NETWORK_BITS), strict=False))
    return str(ipaddress.IPv6Network((int(address), IPV6_NETWORK_BITS), strict=False))
