"""Where a request comes from: as far as proxies are trusted, whatever an address is dressed as."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.errors import OperatorError
from gateway.http.peer import networks_of, peer_of, plain


class Transport:
    def __init__(self, peer: str) -> None:
        self._peer = peer

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self._peer, 1) if name == "peername" else default


def request_from(peer: str, *forwarded: str) -> web.Request:
    headers = [("X-Forwarded-For", line) for line in forwarded]
    from multidict import CIMultiDict

    return make_mocked_request("GET", "/", headers=CIMultiDict(headers), transport=Transport(peer))


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "found"),
    [
        ("203.0.113.1", ("192.0.2.1",), "", "203.0.113.1"),
        ("10.0.0.1", ("192.0.2.1",), "10.0.0.0/8", "192.0.2.1"),
        ("10.0.0.1", ("192.0.2.1, 10.0.0.2",), "10.0.0.0/8", "192.0.2.1"),
        ("10.0.0.1", ("192.0.2.1", "198.51.100.1, 10.0.0.2"), "10.0.0.0/8", "198.51.100.1"),
        ("10.0.0.1", ("spoofed, 198.51.100.1",), "10.0.0.0/8", "198.51.100.1"),
        ("::ffff:10.0.0.1", ("192.0.2.1:443",), "10.0.0.0/8", "192.0.2.1"),
        ("10.0.0.1", ("[2001:db8::1]:443",), "10.0.0.0/8", "2001:db8::1"),
        ("10.0.0.1", (), "10.0.0.0/8", "10.0.0.1"),
    ],
)
def test_forwarded_addresses_count_as_far_as_they_are_trusted(
    peer: str, forwarded: tuple[str, ...], trusted: str, found: str
) -> None:
    assert peer_of(request_from(peer, *forwarded), networks_of(trusted)) == found


@pytest.mark.parametrize(
    ("dressed", "bare"),
    [
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        (" 2001:DB8::1 ", "2001:db8::1"),
        ("nonsense", "nonsense"),
    ],
)
def test_an_address_has_one_form(dressed: str, bare: str) -> None:
    assert plain(dressed) == bare


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(OperatorError, match="SPENDGATE_TRUSTED_PROXIES"):
        networks_of("10.0.0.0/8, proxy")
