"""Ids of the real world are taken as they are, in one form; what only looks like one is refused."""

from __future__ import annotations

import pytest

from gateway.errors import CallerError
from gateway.http.endpoint import path_id
from gateway.wire.decode import convert, decode
from gateway.wire.ids import Identified, IdFault, check_id, id_fields
from gateway.wire.requests.accounts import CardVersionBody
from gateway.wire.requests.spend import AuthorizeBody
from tests.properties.bodies import BODIES

REAL = [
    "gpt-4o",
    "openai/gpt-4o",
    "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0",
    "gpt-4o@2024-08-06",
    "jane.doe@example.com",
    "auth0|64f0c1",
    "張三",
    "ü",
    "a b",
    "100%",
    "%2F",
    "{s7}",
    "~free",
    "...",
    "'; DROP TABLE orgs; --",
    "کتاب\u200cخانه",
    "👩\u200d💻",
    "x" * 255,
    "é" * 127,
]
WRONG = {
    "": "at least one",
    " a": "no space at its ends",
    "a\u3000": "no space at its ends",
    "a\n": "a control character (U+000A at 1)",
    "\x00": "a control character (U+0000 at 0)",
    "a\u200bb": "an invisible character (U+200B at 1)",
    "\ufeffa": "an invisible character (U+FEFF at 0)",
    "a\u202eb": "an invisible character (U+202E at 1)",
    "a\u2028b": "a line separator",
    "a\u2029b": "a paragraph separator",
    "a\u0378": "an unassigned character",
    "a\ufffd": "a replacement character",
    ".": "cannot be '.'",
    "..": "cannot be '..'",
    "x" * 256: "at most 255 bytes",
    "é" * 128: "at most 255 bytes",
}


@pytest.mark.parametrize("text", REAL)
def test_an_id_of_the_real_world_is_taken_as_it_is(text: str) -> None:
    assert check_id(text) == text


@pytest.mark.parametrize(("text", "why"), [*WRONG.items(), (chr(0xD800), "half a character")])
def test_what_cannot_be_seen_or_stored_alike_is_no_id(text: str, why: str) -> None:
    with pytest.raises(IdFault) as caught:
        check_id(text)
    assert why in str(caught.value)


def test_one_id_has_one_form() -> None:
    composed, apart = "é", "e\u0301"
    assert check_id(apart) == composed
    body = decode(f'{{"subject":{{"org":"{apart}"}},"product":"{apart}"}}'.encode(), Authorize)
    assert (body.subject.org, body.product) == (composed, composed)
    assert path_id("org", "e%CC%81") == composed
    # It looks alike and is another: Cyrillic.
    assert check_id("\u0430") != check_id("a")


def test_two_spellings_of_one_product_are_refused_not_merged() -> None:
    card = {"é": {}, "e\u0301": {}}
    with pytest.raises(CallerError) as caught:
        convert({"effective_at": "2026-01-01T00:00:00Z", "currency": "USD", "products": card}, Card)
    assert "are one in their composed form" in caught.value.detail


@pytest.mark.parametrize("raw", ["%ff", "%C3", "%ED%A0%80"])
def test_a_path_that_is_not_utf_8_is_refused(raw: str) -> None:
    with pytest.raises(CallerError):
        path_id("org", raw)


@pytest.mark.parametrize("raw", ["openai%2Fgpt-4o", "openai%2fgpt-4o"])
def test_a_slash_in_a_path_belongs_to_the_id_where_it_is_encoded(raw: str) -> None:
    assert path_id("user", raw) == "openai/gpt-4o"


def test_what_an_operator_names_keeps_its_narrow_pattern() -> None:
    with pytest.raises(CallerError):
        path_id("id", "a%2Fb")
    assert path_id("id", "daily:2026.01_-") == "daily:2026.01_-"


def test_every_message_with_ids_checks_them() -> None:
    with_ids = {kind for kind in BODIES if id_fields(kind)}
    assert len(with_ids) > 8
    assert with_ids == {k for k in BODIES if issubclass(k, Identified)}


Authorize, Card = AuthorizeBody, CardVersionBody
