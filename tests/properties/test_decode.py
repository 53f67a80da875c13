"""Whatever bytes come in, out comes a message or a clear 400 or 422 — never another exception."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import fields, replace

from gateway.core.money import MAX_MICROS
from gateway.errors import CallerError
from gateway.wire import problems
from gateway.wire.answers.base import rfc3339
from gateway.wire.decode import convert, decode, milliseconds
from gateway.wire.requests.accounts import CapBody, CardVersionBody, GrantBody, PlanBody
from gateway.wire.requests.spend import AuthorizeBody, BatchItem
from tests.properties.bodies import (
    BODIES,
    FORTH,
    WHOLE,
    changed,
    encoded,
    is_map,
    places,
    pointer_of,
)

KINDS = st.sampled_from(sorted(WHOLE, key=lambda kind: kind.__name__))


def examples(count: int) -> settings:
    """So many examples, however slow the machine."""
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def refusal_of(body: bytes, kind: type[Any]) -> CallerError:
    """The refusal of a body that must be refused, checked to be one a caller can be told."""
    with pytest.raises(CallerError) as caught:
        decode(body, kind)
    return told(caught.value)


def told(error: CallerError) -> CallerError:
    assert error.status in (400, 422)
    problem = json.loads(problems.encode(problems.problem(error)))
    assert problem["status"] == error.status
    assert problem["type"].startswith(problems.TYPE_PREFIX)
    if error.status == 422:
        assert problem["errors"][0]["pointer"] == error.pointer
    return error


def outcome(body: bytes, kind: type[Any]) -> Any:
    """A message, or the refusal; anything else escapes and fails the test."""
    try:
        message = decode(body, kind)
    except CallerError as error:
        return told(error)
    assert isinstance(message, kind)
    return message


def leads_somewhere(pointer: str, body: Any) -> bool:
    """Whether all but the last step of a JSON pointer exist (a missing member is named, too)."""
    for token in pointer.split("/")[1:-1]:
        part = token.replace("~1", "/").replace("~0", "~")
        if isinstance(body, list):
            body = body[int(part)] if part.isdigit() and int(part) < len(body) else None
        elif isinstance(body, dict):
            body = body.get(part)
        if body is None:
            return False
    return True


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers() | st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, width=32)
scalars = st.none() | st.booleans() | numbers.filter(lambda n: abs(n) < float("inf")) | text
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
integers = [
    (kind, path)
    for kind, body in WHOLE.items()
    for path, value in places(body)
    if isinstance(value, int) and not isinstance(value, bool)
]
"""Every place in every message that takes an integer."""


def test_the_samples_show_every_member_of_every_message() -> None:
    assert set(WHOLE) == BODIES
    for kind, body in WHOLE.items():
        assert set(body) == {field.encode_name for field in fields(kind)}
        assert isinstance(decode(encoded(body), kind), kind)


@examples(250)
@given(KINDS, st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_refusal(kind: type[Any], body: bytes) -> None:
    outcome(body, kind)


@examples(250)
@given(KINDS, anything)
def test_any_json_is_a_message_or_a_422(kind: type[Any], body: Any) -> None:
    found = outcome(encoded(body), kind)
    assert isinstance(found, kind) or found.status == 422


@examples(600)
@given(KINDS, anything, st.data())
def test_a_body_with_one_part_replaced_is_a_message_or_a_422_that_points_into_it(
    kind: type[Any], value: Any, data: st.DataObject
) -> None:
    path, _ = data.draw(st.sampled_from(list(places(WHOLE[kind]))))
    body = changed(WHOLE[kind], path, value)
    found = outcome(encoded(body), kind)
    if not isinstance(found, kind):
        assert found.status == 422
        assert leads_somewhere(found.pointer, body), (found.pointer, body)


@examples(300)
@given(KINDS, st.data())
def test_a_body_cut_or_with_bytes_replaced_is_a_message_or_a_refusal(
    kind: type[Any], data: st.DataObject
) -> None:
    body = encoded(WHOLE[kind])
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 8)))
    outcome(body[:start] + data.draw(st.binary(max_size=8)) + body[end:], kind)
    if start < len(body):
        assert refusal_of(body[:start], kind).status == 400


@examples(200)
@given(anything)
def test_an_item_of_a_batch_is_a_message_or_a_422(item: Any) -> None:
    try:
        assert isinstance(convert(item, BatchItem), BatchItem)
    except CallerError as error:
        assert told(error).status == 422


@pytest.mark.parametrize("wrong", [1.5, 1.0, -0.0, 1e300, True, False, "1", [1], {"a": 1}])
def test_what_is_no_integer_is_refused_where_it_stands(wrong: Any) -> None:
    for kind, path in integers:
        error = refusal_of(encoded(changed(WHOLE[kind], path, wrong)), kind)
        assert (error.status, error.code) == (422, "invalid_request")
        assert error.pointer == pointer_of(path)


@pytest.mark.parametrize("wrong", [0, 1, "true", 1.0])
def test_a_number_or_text_for_a_boolean_is_refused_where_it_stands(wrong: Any) -> None:
    for kind, body in WHOLE.items():
        for path, value in places(body):
            if isinstance(value, bool):
                error = refusal_of(encoded(changed(body, path, wrong)), kind)
                assert (error.status, error.pointer) == (422, pointer_of(path))


@pytest.mark.parametrize("digits", [16, 19, 20, 40, 4000])
def test_an_integer_beyond_the_range_is_refused_where_it_stands(digits: int) -> None:
    for kind, path in integers:
        for sign in (1, -1):
            error = refusal_of(encoded(changed(WHOLE[kind], path, sign * 10**digits)), kind)
            assert (error.status, error.pointer) == (422, pointer_of(path))


def test_an_amount_just_beyond_the_range_is_an_amount_out_of_range() -> None:
    for kind, path in integers:
        is_counted = path[-1] in ("input_tokens", "output_tokens")
        if is_counted or str(path[-1]).endswith("_micros"):
            body = changed(WHOLE[kind], path, MAX_MICROS)
            assert isinstance(decode(encoded(body), kind), kind)
            error = refusal_of(encoded(changed(body, path, MAX_MICROS + 1)), kind)
            assert error.code == "amount_out_of_range"
            assert error.pointer == pointer_of(path)


def test_an_integer_too_long_to_read_is_refused_as_out_of_range() -> None:
    for kind, path in integers:
        body = encoded(changed(WHOLE[kind], path, "HERE")).replace(b'"HERE"', b"9" * 5000)
        error = refusal_of(body, kind)
        assert (error.status, error.code) == (422, "amount_out_of_range")


@examples(250)
@given(KINDS, text.filter(lambda name: "`" not in name), anything, st.data())
def test_an_unknown_member_is_refused_by_its_name(
    kind: type[Any], name: str, value: Any, data: st.DataObject
) -> None:
    objects = [
        (path, found)
        for path, found in places(WHOLE[kind])
        if isinstance(found, dict) and not is_map(kind, path)
    ]
    path, found = data.draw(st.sampled_from(objects))
    if name not in found:
        error = refusal_of(encoded(changed(WHOLE[kind], (*path, name), value)), kind)
        assert (error.status, error.pointer) == (422, pointer_of((*path, name)))


def test_a_missing_member_is_refused_by_its_name() -> None:
    for kind, body in WHOLE.items():
        for field in fields(kind):
            if field.required:
                less = {name: value for name, value in body.items() if name != field.encode_name}
                error = refusal_of(encoded(less), kind)
                assert (error.status, error.pointer) == (422, f"/{field.encode_name}")


def test_null_means_absent_or_the_default_and_is_refused_for_what_is_required() -> None:
    """Of a PUT's members null is the default, and absent what was before."""
    for kind, body in WHOLE.items():
        for field in fields(kind):
            nulled = encoded({**body, field.encode_name: None})
            if field.required or type(None) not in get_args(field.type):
                error = refusal_of(nulled, kind)
                assert (error.status, error.pointer) == (422, f"/{field.encode_name}")
            else:
                less = {name: value for name, value in body.items() if name != field.encode_name}
                absent = decode(encoded(less), kind)
                if field.default is UNSET:
                    assert getattr(absent, field.name) is UNSET
                    absent = replace(absent, **{field.name: None})
                assert decode(nulled, kind) == absent


@examples(250)
@given(KINDS, anything, st.data())
def test_of_duplicate_names_the_last_counts_whatever_the_earlier_ones_held(
    kind: type[Any], earlier: Any, data: st.DataObject
) -> None:
    body = WHOLE[kind]
    objects = [path for path, found in places(body) if isinstance(found, dict) and found]
    if not objects:
        return
    path = data.draw(st.sampled_from(objects))
    found = dict(places(body))[path]
    name = data.draw(st.sampled_from(sorted(found)))
    twice = b"{" + encoded(name) + b":" + encoded(earlier) + b"," + encoded(found)[1:]
    text = encoded(changed(body, path, "HERE")).replace(b'"HERE"', twice)
    assert decode(text, kind) == decode(encoded(body), kind)


@examples(60)
@given(KINDS, st.integers(1, 30_000), st.sampled_from([(b"[", b"]"), (b'{"a":', b"}")]), st.data())
def test_deep_nesting_is_refused(
    kind: type[Any], depth: int, brackets: tuple[bytes, bytes], data: st.DataObject
) -> None:
    nested = brackets[0] * depth + b"1" + brackets[1] * depth
    path, _ = data.draw(st.sampled_from(list(places(WHOLE[kind]))))
    body = encoded(changed(WHOLE[kind], path, "HERE")).replace(b'"HERE"', nested)
    found = outcome(body, kind)
    assert isinstance(found, kind) or found.status in (400, 422)
    assert refusal_of(brackets[0] * depth, kind).status == 400


@pytest.mark.parametrize(
    "broken",
    [rb"\ud800", rb"\udc00", rb"\ud800\u0041", b"\xed\xa0\x80", b"\xff", b"\xc0\xaf", b"\x00"],
)
def test_text_that_is_no_unicode_is_malformed_json(broken: bytes) -> None:
    for kind, body in WHOLE.items():
        for path, value in places(body):
            if isinstance(value, str):
                text = encoded(changed(body, path, "HERE")).replace(b"HERE", broken)
                assert refusal_of(text, kind).status == 400
        text = b'{"' + broken + b'":1,' + encoded(body)[1:]
        assert refusal_of(text, kind).status == 400


@pytest.mark.parametrize("text", [b"", b" ", b"{", b"nul", b"NaN", b"{'a':1}", b"{}{}", b"[1,]"])
def test_what_is_no_json_is_a_400(text: bytes) -> None:
    for kind in WHOLE:
        assert refusal_of(text, kind).code == "malformed_json"


@pytest.mark.parametrize("tail", ["\n", " ", "\x00", "\u200b", "\u2028", "\ufffd", "\u0378"])
def test_an_id_is_matched_to_its_very_end(tail: str) -> None:
    body = {"subject": {"org": f"acme{tail}"}, "product": "p"}
    assert refusal_of(encoded(body), AuthorizeBody).pointer == "/subject/org"
    card = {"effective_at": FORTH, "currency": "USD", "products": {"ok": {}, f"p{tail}": {}}}
    named = pointer_of(("products", f"p{tail}"))
    assert refusal_of(encoded(card), CardVersionBody).pointer == named


@examples(300)
@given(st.datetimes(timezones=st.timezones() | st.just(None)))
def test_a_time_is_taken_if_it_can_be_told_again(at: datetime) -> None:
    body = encoded({"amount_micros": 1, "kind": "paid", "expires_at": at.isoformat()})
    found = outcome(body, GrantBody)
    if isinstance(found, CallerError):
        assert found.pointer == "/expires_at"
        return
    try:
        ms = milliseconds(found.expires_at)
    except CallerError as error:
        assert told(error).status == 422
        return
    assert ms is not None
    assert milliseconds(datetime.fromisoformat(rfc3339(ms))) == ms


@pytest.mark.parametrize(
    "at", ["9999-12-31T23:59:59.999-00:01", "0001-01-01T00:00:00+23:59", "1969-12-31T23:59:59Z"]
)
def test_a_time_outside_1970_to_9999_is_refused(at: str) -> None:
    with pytest.raises(CallerError):
        milliseconds(datetime.fromisoformat(at))


def test_the_last_moment_of_9999_is_a_time() -> None:
    last = milliseconds(datetime.fromisoformat("9999-12-31T23:59:59.999999Z"))
    assert last is not None
    assert rfc3339(last) == "9999-12-31T23:59:59.999Z"


def test_a_refusal_lists_all_that_is_wrong_and_names_what_an_enum_takes() -> None:
    wrong = {
        "level": "galaxy",
        "window": "day",
        "limit_micros": -1,
        "alert_at": [50, 0, "x"],
        "colour": "red",
    }
    error = refusal_of(encoded(wrong), CapBody)
    found = {fault.pointer: fault.detail for fault in error.faults}
    assert list(found) == ["/level", "/limit_micros", "/alert_at/1", "/alert_at/2", "/colour"]
    assert found["/level"].endswith("it takes org, project, user, key, run")
    bad = {"rate_card": "c", "caps": [{"id": "a"}, {"id": "b", "level": "org", "target": " x"}]}
    found = {f.pointer for f in refusal_of(encoded(bad), PlanBody).faults}
    assert found == {"/caps/1/target"}


@examples(200)
@given(KINDS, anything, anything, st.data())
def test_two_wrong_members_are_both_listed(
    kind: type[Any], one: Any, other: Any, data: st.DataObject
) -> None:
    names = sorted(WHOLE[kind])
    if len(names) < 2:
        return
    first, second = data.draw(st.permutations(names))[:2]
    alone = [
        outcome(encoded({**WHOLE[kind], n: v}), kind) for n, v in ((first, one), (second, other))
    ]
    both = outcome(encoded({**WHOLE[kind], first: one, second: other}), kind)
    if all(isinstance(found, CallerError) and found.faults for found in alone):
        listed = {fault.pointer for fault in both.faults}
        assert {fault.pointer for found in alone for fault in found.faults} <= listed
