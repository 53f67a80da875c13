"""Find the address of a caller, also through trusted proxies, and the id of a request."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web
from multidict import istr

from gateway.errors import OperatorError

Network = IPv4Network | IPv6Network
FORWARDED, REQUEST_ID = istr("X-Forwarded-For"), istr("X-Request-Id")
_given = re.compile(r"[A-Za-z0-9_.:/+=@-]{1,128}").fullmatch
_prefix, _numbers = secrets.token_hex(6), itertools.count(1)


def networks_of(text: str) -> tuple[Network, ...]:
    """Networks separated by commas. Raises OperatorError."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        wanted = "networks such as 10.0.0.0/8, separated by commas"
        detail = f"SPENDGATE_TRUSTED_PROXIES takes {wanted}: {error}"
        raise OperatorError("bad_setting", detail) from None


def peer_of(request: web.BaseRequest, trusted: Sequence[Network]) -> str:
    """The address that a request comes from; "" where it is not known.

    X-Forwarded-For is believed as far as those who added to it are trusted, from the last one on.
    """
    transport = request.transport
    name = transport.get_extra_info("peername") if transport is not None else None
    address = plain(name[0]) if isinstance(name, tuple) else ""
    passed = [a for line in request.headers.getall(FORWARDED, ()) for a in line.split(",")]
    while passed and address and _is_trusted(address, trusted):
        address = plain(passed.pop())
    return address


def plain(address: str) -> str:
    """An address without its disguises: IPv4 within IPv6, brackets, a port, an interface."""
    bare = address.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ip_address(bare.partition("%")[0])
    except ValueError:
        return bare
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(found)


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in trusted)


def id_of(request: web.BaseRequest) -> str:
    """Id of a request in answers and logs: the caller's, or a new one."""
    known: str | None = request.get(REQUEST_ID)
    if known is None:
        given = request.headers.get(REQUEST_ID, "")
        known = given if given and _given(given) else f"req_{_prefix}{next(_numbers):x}"
        request[REQUEST_ID] = known
    return known
