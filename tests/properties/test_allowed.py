"""An allowed answer put together from pieces is the one that encoding gives, byte for byte."""

from __future__ import annotations

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import machine, plan
from gateway.core.commands import Mode
from gateway.core.decision import conclude
from gateway.core.entities import Cap, Grant, Included, Profile, RateLimit
from gateway.core.state import Shard
from gateway.core.terms import compile_terms, versions_of
from gateway.wire import records
from gateway.wire.answers.allow_fast import AllowedAnswers
from gateway.wire.answers.spend import authorize_answer
from tests.unit.core.making import CARD, NOON, lineage, lineage_terms, profile

WHO = lineage("search", "u_1", "k_1", "run-1")
CAPS = st.lists(
    st.builds(
        Cap,
        st.sampled_from(["a", "b.c", "d:e"]),
        st.sampled_from(["org", "project", "user", "key", "run"]),
        st.sampled_from(["minute", "hour", "day", "week", "month", "lifetime", None]),
        st.sampled_from([10**6, 2**53 - 1]),
        st.sampled_from(["hard", "soft", "shadow"]),
        from_plan=st.booleans(),
        units=st.sampled_from([(), (), ("input_tokens",), ("images", "output_tokens")]),
        limit=st.sampled_from([0, 10**6]),
        window_s=st.just(90),
    ),
    max_size=4,
)
RATES = st.lists(
    st.builds(
        RateLimit,
        st.sampled_from(["x", "y"]),
        st.sampled_from(["org", "user"]),
        st.sampled_from(["requests", "tokens", "concurrent"]),
        st.sampled_from([50, 10**9]),
        st.sampled_from([1, 60, 86_400]),
    )
    | st.builds(
        RateLimit,
        st.just("z"),
        st.just("org"),
        st.just("units"),
        st.just(10**9),
        units=st.just(("output_tokens",)),
    ),
    max_size=3,
)
WORLD = st.tuples(CAPS, RATES, st.booleans(), st.sampled_from([0, 100]))
ASKS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 1000)),
        st.integers(0, 900),
        st.integers(0, 900),
        st.sampled_from([Mode.HOLD, Mode.CAPTURE, Mode.DRY]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


def world(made: tuple[list[Cap], list[RateLimit], bool, int]) -> Profile:
    caps, rates, is_free, credit_line = made
    grants = (Grant("grant_1", "paid", 10**9, 10, 0),)
    quota = (Included("monthly", 2_000, "month"),)
    return profile(
        version=0 if is_free else 1,
        credit_line=credit_line,
        plan={"included": quota},
        card=CARD,
        caps=tuple(caps),
        rate_limits=tuple(rates),
        grants=() if is_free else grants,
    )


@settings(max_examples=400, deadline=None)
@given(WORLD, ASKS)
def test_an_allowed_answer_is_the_encoded_one(
    made: tuple[list[Cap], list[RateLimit], bool, int],
    asks: list[tuple[int | None, int, int, Mode, bool]],
) -> None:
    of, shard, chance = world(made), Shard(), random.Random(1)
    terms = records.seal(compile_terms(of, lineage_terms(WHO), "gpt", NOON))
    for version in versions_of(of):
        shard.versions[version.kind, version.id] = version.expected
    shard.cells.put("acme", "g/grant_1", 10**9, NOON)
    shown = AllowedAnswers(terms.asked)
    for amount, inputs, outputs, mode, is_partial in asks:
        quantity = (
            None if amount is not None else {"input_tokens": inputs, "output_tokens": outputs}
        )
        request = plan.Request(WHO, "gpt", quantity, amount, mode, 60_000, {})
        cost = plan.quote(terms, request)
        name = f"{chance.randrange(10**6)}"
        asked = plan.make(terms, request, f"dec_{name}", f"hold_{name}", cost, is_partial)
        packed = records.encode_asked(asked, terms)
        reply = machine.authorize(
            shard, plan.assemble(terms, asked, request, packed, 2**53), NOON + chance.randrange(50)
        )
        assert reply.outcome is not None
        if reply.outcome.allowed:
            whole = authorize_answer(conclude(asked, reply.outcome))
            assert bytes(shown.encode(asked, reply.outcome)) == msgspec.json.encode(whole)
