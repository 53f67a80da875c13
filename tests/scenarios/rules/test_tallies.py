"""Windows that rules declare: counted because they are read, known once they are warm."""

from __future__ import annotations

import zlib
from typing import Any

from tests.gateways import Caller
from tests.scenarios.rules.rulebook import CENT, cents, in_force, rule, rules

# So wide that no test sees one of its ends.
COST = 'velocity.cost("key", 80d)'
DEVICES = 'velocity.distinct("device", by "key", 2h)'
SHARED = [
    f'velocity.count("{entity}", 80d)'
    for entity in ("project", "ip", "network", "asn", "device", "email_domain")
]


def of(org: str) -> dict[str, Any]:
    """A context that no other test has."""
    number = zlib.crc32(org.encode())
    address = ".".join(str(part) for part in number.to_bytes(4, "big"))
    return {"ip": address, "asn": number, "device": org, "email_domain": f"{org}.example"}


async def tallies(caller: Caller, decision: dict[str, Any]) -> dict[str, int]:
    told = await caller.ok("GET", f"/v1/decisions/{decision['id']}")
    return dict(told["tallies"])


async def test_what_happened_before_a_window_was_declared_is_in_it(
    caller: Caller, org: str
) -> None:
    for _ in range(3):
        await caller.authorize(org, key="k_1", **cents(100))
    await in_force(caller, rules(rule("spree", "block", f"{COST} + amount > 4.50 USD")))
    answers = [await caller.authorize(org, key="k_1", **cents(100)) for _ in range(3)]
    assert [answer["decision"] for answer in answers] == ["allow", "deny", "deny"]
    assert await tallies(caller, answers[-1]) == {COST: 500 * CENT}
    other = await caller.authorize(org, key="k_2", **cents(100))
    assert (other["decision"], await tallies(caller, other)) == ("allow", {COST: 0})


async def test_different_values_are_counted_once_each(caller: Caller, org: str) -> None:
    async def ask(device: str) -> dict[str, Any]:
        return await caller.authorize(org, key="k_1", context={"device": device}, **cents(1))

    await ask("d1")
    await in_force(caller, rules(rule("handed-round", "block", f"{DEVICES} >= 3")))
    answers = [await ask(device) for device in ("d1", "d2", "d1", "d3", "d1", "d4")]
    assert [await tallies(caller, answer) for answer in answers] == [
        {DEVICES: n} for n in (1, 1, 2, 2, 3, 3)
    ]
    assert [answer["decision"] for answer in answers] == ["allow"] * 4 + ["deny"] * 2


async def test_what_many_orgs_share_is_counted_over_all_of_them(caller: Caller, org: str) -> None:
    await in_force(caller, rules(rule("many", "block", " + ".join(SHARED) + " > 100")))
    for n in range(2):
        await caller.authorize(f"free-{org}-{n}", context=of(org), **cents(1))
    last = await caller.authorize(org, project="p_1", context=of(org), **cents(1))
    assert await tallies(caller, last) == dict.fromkeys(SHARED, 2) | {SHARED[0]: 0}
    elsewhere = await caller.authorize(
        org, project="p_1", context={"ip": of(f"{org}!")["ip"]}, **cents(1)
    )
    found = await tallies(caller, elsewhere)
    assert found == {SHARED[0]: 1, SHARED[1]: 0, SHARED[2]: 0}, "what is not named is not known"


async def test_only_what_is_read_is_counted(caller: Caller, org: str) -> None:
    first = await in_force(caller, rules(rule("spree", "review", f"{COST} > 100 USD")))
    assert await tallies(caller, await caller.authorize(org, key="k", **cents(1))) == {COST: 0}
    for n in range(2):
        # One step back can be taken at once, so it is counted on; two steps back it is not.
        await in_force(caller, rules(rule(f"large-{n}", "block", "amount > 5 USD")))
    assert await tallies(caller, await caller.authorize(org, key="k", **cents(1))) == {}
    back = await in_force(caller, rules(rule("spree", "review", f"{COST} > 100 USD")))
    assert back == first
    told = await tallies(caller, await caller.authorize(org, key="k", **cents(1)))
    assert told == {COST: 2 * CENT}


EVENTS = 'velocity.total("payment_succeeded", by "org", 1h)'
KNOWN, AGE = 'velocity.known("asn", by "key", 1h)', 'velocity.age("key", 1h)'
DENIED, SIZES = 'velocity.denied("org", 1h)', 'velocity.count("org", same "size", 1h)'
FRAUD = 'velocity.events("labelled_fraud", by "asn", 80d)'
ALL = (
    f"{EVENTS} > 900 USD || {KNOWN} && {AGE} > 1d || {DENIED} > 99 || {SIZES} > 99 || {FRAUD} > 99"
)


async def test_what_else_can_be_counted(caller: Caller, org: str) -> None:
    """Whether it was met before and since when, what was refused, what was of the same size, sums
    of what was told, and labels, by all that their decision named, from when they are told."""
    await in_force(caller, rules(rule("all", "review", ALL)))

    async def ask(count: int, asn: int, **more: Any) -> dict[str, Any]:
        answer = await caller.authorize(
            org, key="k_1", context={"asn": asn}, **cents(count), **more
        )
        return answer | {"tallies": await tallies(caller, answer)}

    asn = zlib.crc32(org.encode())
    first = await ask(10, asn)
    assert first["tallies"] == dict.fromkeys((EVENTS, DENIED, SIZES, FRAUD, KNOWN, AGE), 0)
    event = {"type": "payment_succeeded", "subject": {"org": org}, "amount_micros": 7 * CENT}
    await caller.ok("POST", "/v1/events", event)
    assert (await ask(200_000, asn))["decision"] == "deny"
    label = {"decision": first["id"], "label": "fraud"}
    for _ in range(2):
        await caller.ok("POST", "/v1/labels", label)
    seen = (await ask(11, asn))["tallies"]
    assert {name: seen[name] for name in (EVENTS, DENIED, SIZES, FRAUD, KNOWN)} == {
        EVENTS: 7 * CENT, DENIED: 1, SIZES: 1, FRAUD: 1, KNOWN: 1,
    }  # fmt: skip
    assert 0 < seen[AGE] < 600_000
    other = (await ask(30, asn + 1))["tallies"]
    assert (other[KNOWN], other[FRAUD], other[SIZES]) == (0, 0, 0)
