"""What a request would cost, under which price, and who may use what."""

from __future__ import annotations

import pytest

from gateway.core.entities import CardVersion, Contract, ProductTerms, RateCard
from gateway.core.limits import tokens_of
from gateway.core.money import MAX_MICROS
from gateway.core.pricing import Price, cost_micros, is_allowed, price_of, tariff
from gateway.core.windows import FOREVER_MS
from gateway.errors import CallerError
from tests.unit.core.making import GPT, profile

IMAGE = {"images": 40_000_000_000}
HALF = {"a": 500_000, "b": 500_000}
"""Half a micro-unit each."""


def price(units: dict[str, int], discount_bps: int = 0) -> Price:
    return Price("default", "v1", "USD", units, discount_bps)


@pytest.mark.parametrize(
    ("units", "quantity", "discount_bps", "cost"),
    [
        (GPT, {"input_tokens": 1200, "output_tokens": 800}, 0, 11_000),
        (GPT, {"output_tokens": 800, "input_tokens": 1200}, 0, 11_000),
        (GPT, {"input_tokens": 1200}, 0, 3_000),
        (GPT, {}, 0, 0),
        (GPT, {"input_tokens": 0}, 0, 0),
        (IMAGE, {"images": 3}, 0, 120_000),
        ({"free": 0}, {"free": 10**18}, 0, 0),
        # Ties go to the even one.
        (HALF, {"a": 1}, 0, 0),
        (HALF, {"a": 3}, 0, 2),
        (HALF, {"a": 5}, 0, 2),
        (HALF, {"a": 7}, 0, 4),
        # The sum is rounded, not its lines: 0.5 + 0.5 is 1.
        (HALF, {"a": 1, "b": 1}, 0, 1),
        ({"a": 400_000, "b": 400_000}, {"a": 1, "b": 1}, 0, 1),
        # A discount applies to the exact sum, before the one rounding: 2.5 × 0.6 = 1.5 → 2.
        (HALF, {"a": 5}, 4_000, 2),
        # 1.5 × 0.5 = 0.75 → 1, where 2 × 0.5 would be 1 and 1 × 0.5 be 0.
        (HALF, {"a": 3}, 5_000, 1),
        (GPT, {"input_tokens": 1200, "output_tokens": 800}, 1, 10_999),  # 10998.9
        (GPT, {"input_tokens": 1200, "output_tokens": 800}, 1_250, 9_625),
        (GPT, {"input_tokens": 1200, "output_tokens": 800}, 10_000, 0),
        ({"a": 1_000_000}, {"a": MAX_MICROS}, 0, MAX_MICROS),
        ({"a": MAX_MICROS}, {"a": 1_000_000}, 0, MAX_MICROS),
        ({"a": 2_000_000}, {"a": MAX_MICROS}, 5_000, MAX_MICROS),
    ],
)
def test_a_quantity_costs(
    units: dict[str, int], quantity: dict[str, int], discount_bps: int, cost: int
) -> None:
    assert cost_micros(price(units, discount_bps), quantity) == cost


def test_an_unknown_unit_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(CallerError) as refused:
        cost_micros(price(GPT), {"input_tokens": 1, "outputs": 1})
    assert (refused.value.code, refused.value.status) == ("unknown_unit", 422)
    assert refused.value.pointer == "/quantity/outputs"
    assert "outputs" in refused.value.detail
    assert "input_tokens, output_tokens" in refused.value.detail


def test_an_unknown_unit_is_refused_even_when_none_of_it_is_asked() -> None:
    with pytest.raises(CallerError, match="unknown unit"):
        cost_micros(price(GPT), {"outputs": 0})


@pytest.mark.parametrize(
    ("units", "quantity"),
    [({"a": 1_000_000}, {"a": MAX_MICROS + 1}), ({"a": MAX_MICROS}, {"a": 10**30})],
)
def test_a_quote_beyond_the_range_is_refused(
    units: dict[str, int], quantity: dict[str, int]
) -> None:
    with pytest.raises(CallerError) as refused:
        cost_micros(price(units), quantity)
    assert refused.value.code == "amount_out_of_range"


@pytest.mark.parametrize(
    ("quantity", "tokens"),
    [
        ({}, 0),
        ({"input_tokens": 3, "output_tokens": 4}, 7),
        ({"cached_input_tokens": 5, "images": 9}, 5),
        ({"tokens": 5, "tokens_in": 6, "token": 7}, 0),
        ({"_tokens": 2}, 2),
    ],
)
def test_tokens_are_the_units_whose_name_ends_so(quantity: dict[str, int], tokens: int) -> None:
    assert tokens_of(quantity) == tokens


# Which version is in force.

CARD = RateCard(
    "default",
    3,
    (
        CardVersion("first", 100, "USD", {"gpt": {"units": 1}, "old": {"units": 5}}),
        CardVersion("second", 200, "USD", {"gpt": {"units": 2}, "new": {"units": 6}}),
        CardVersion("third", 300, "USD", {"gpt": {"units": 3}}),
    ),
)


@pytest.mark.parametrize(
    ("now_ms", "version", "until_ms"),
    [
        (99, None, 100),
        (100, "first", 200),
        (199, "first", 200),
        (200, "second", 300),
        (299, "second", 300),
        (300, "third", FOREVER_MS),
        (10**15, "third", FOREVER_MS),
    ],
)
def test_without_a_contract_the_version_in_effect_is_used(
    now_ms: int, version: str | None, until_ms: int
) -> None:
    rate = tariff(profile(card=CARD), now_ms)
    assert (rate.version.version if rate.version else None) == version
    assert (rate.card, rate.contract, rate.until_ms) == ("default", None, until_ms)


def test_of_versions_that_begin_together_the_last_name_counts() -> None:
    """Whichever it is, every worker chooses the same."""
    twins = (CardVersion("b", 100, "USD", {}), CardVersion("a", 100, "USD", {}))
    for versions in (twins, twins[::-1]):
        rate = tariff(profile(card=RateCard("default", 2, versions)), 100)
        assert rate.version is not None
        assert rate.version.version == "b"


def test_versions_may_have_been_added_in_any_order() -> None:
    shuffled = RateCard("default", 3, (CARD.versions[2], CARD.versions[0], CARD.versions[1]))
    rate = tariff(profile(card=shuffled), 250)
    assert rate.version is not None
    assert (rate.version.version, rate.until_ms) == ("second", 300)


CONTRACT = Contract("default", "first", starts_ms=220, ends_ms=280)


@pytest.mark.parametrize(
    ("now_ms", "version", "until_ms"),
    [
        (150, "first", 200),  # the next version comes before the contract
        (200, "second", 220),  # the contract comes before the next version
        (219, "second", 220),
        (220, "first", 280),  # pinned, though another one is in effect
        (279, "first", 280),
        (280, "second", 300),
        (300, "third", FOREVER_MS),
    ],
)
def test_a_contract_pins_a_version_from_its_start_until_its_end(
    now_ms: int, version: str, until_ms: int
) -> None:
    rate = tariff(profile(card=CARD, contract=CONTRACT), now_ms)
    assert rate.version is not None
    assert (rate.version.version, rate.until_ms) == (version, until_ms)
    assert (rate.contract is not None) == (220 <= now_ms < 280)


def test_a_contract_without_end_outlasts_every_version() -> None:
    rate = tariff(profile(card=CARD, contract=Contract("default", "first", 220)), 10**15)
    assert rate.version is not None
    assert (rate.version.version, rate.until_ms) == ("first", FOREVER_MS)


def test_a_contract_may_pin_another_card() -> None:
    special = RateCard("special", 1, (CardVersion("s1", 0, "USD", {"gpt": {"units": 9}}),))
    who = profile(card=CARD, contract=Contract("special", "s1", 220), pinned=special)
    pinned, before = price_of(tariff(who, 220), "gpt"), price_of(tariff(who, 219), "gpt")
    assert pinned == Price("special", "s1", "USD", {"units": 9}, dearness=100)
    assert before == Price("default", "second", "USD", {"units": 2}, dearness=33)


def test_a_pinned_version_that_is_not_there_prices_nothing() -> None:
    who = profile(card=CARD, contract=Contract("default", "fourth", 220))
    assert price_of(tariff(who, 250), "gpt") is None


@pytest.mark.parametrize(
    ("product", "now_ms", "units"),
    [
        ("gpt", 150, {"units": 1}),
        ("gpt", 250, {"units": 2}),
        ("old", 250, None),  # it left the card
        ("new", 150, None),  # not yet on it
        ("nobody", 250, None),
        ("gpt", 50, None),  # no version has begun
    ],
)
def test_what_the_card_does_not_name_has_no_price(
    product: str, now_ms: int, units: dict[str, int] | None
) -> None:
    found = price_of(tariff(profile(card=CARD), now_ms), product)
    assert (found.units if found else None) == units


def test_a_product_without_units_has_no_price_which_never_means_free() -> None:
    card = RateCard("default", 1, (CardVersion("v1", 0, "USD", {"gpt": {}}),))
    assert price_of(tariff(profile(card=card), 1), "gpt") is None


def of_contract(product: str, discount_bps: int = 0, **products: ProductTerms) -> Price | None:
    contract = Contract("default", "first", 0, None, discount_bps, products)
    return price_of(tariff(profile(card=CARD, contract=contract), 1), product)


@pytest.mark.parametrize(
    ("terms", "units", "discount_bps", "dearness"),
    [
        (None, {"units": 1}, 500, 20),
        (ProductTerms(), {"units": 1}, 500, 20),
        (ProductTerms(discount_bps=900), {"units": 1}, 900, 20),
        (ProductTerms(discount_bps=0), {"units": 1}, 0, 20),  # zero is a word, too
        (ProductTerms(prices={"units": 7}), {"units": 7}, 500, 100),
        (ProductTerms(prices={"units": 7, "extra": 1}, discount_bps=100), {"units": 7, "extra": 1},
         100, 0),
        (ProductTerms(prices={"units": 0}), {"units": 0}, 500, 1),
    ],
)  # fmt: skip
def test_a_contract_may_say_prices_and_discounts_of_its_own(
    terms: ProductTerms | None, units: dict[str, int], discount_bps: int, dearness: int
) -> None:
    """How dear that is beside the card's dearest (5 a unit) follows from it."""
    named = {"gpt": terms} if terms else {}
    found = of_contract("gpt", 500, **named)
    assert found == Price("default", "first", "USD", units, discount_bps, dearness)


def test_a_contract_may_price_what_the_card_does_not_know() -> None:
    found = of_contract("own", own=ProductTerms(prices={"calls": 3}))
    assert found == Price("default", "first", "USD", {"calls": 3})


def test_a_product_the_contract_excludes_is_not_allowed_while_it_runs() -> None:
    contract = Contract("default", "first", 220, 280, products={"gpt": ProductTerms(allowed=False)})
    who = profile(card=CARD, contract=contract)
    assert [is_allowed(tariff(who, t), "gpt") for t in (219, 220, 279, 280)] == [
        True, False, False, True,
    ]  # fmt: skip
    assert is_allowed(tariff(who, 250), "another")
