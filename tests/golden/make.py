"""`python -m tests.golden.make DIR`: what a version leaves at rest, for later versions to read.

A seeded life of a small gateway: its data directory as it is after a stop, the bytes of every
record, hold and stored outcome with what this version decodes them to (as arrays: names of fields
are free to change), and what it answered about all of it. Run in a checkout of that version.
"""

from __future__ import annotations

import asyncio
import base64
import json
import lzma
import re
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from gateway.ledger.history import History
from gateway.sql.engine import open_engine
from gateway.store.codec import decode_hold
from gateway.store.pipeline import Pipeline, parse_url
from gateway.wire import records
from tests.chaos.world import FREE, ORGS, Heard, Spender, set_up
from tests.gateways import Caller, Gateway, running

OUTCOME = re.compile(r"^{s\d+}/[^/]+/k/")
STEPS, SEED = 160, 7
OF_ORGS = ("balance", "usage?group_by=product")
OF_ALL = ("ledger/trial_balance", "ledger/head", "lists/block/items/user:acme%2Fu4", "rulesets")


def text(value: bytes) -> str:
    return base64.b85encode(value).decode()


def plain(value: Any) -> Any:
    """A value of structs as arrays of numbers, texts and arrays."""
    return msgspec.to_builtins(msgspec.msgpack.decode(msgspec.msgpack.encode(value)))


async def live(caller: Caller) -> Heard:
    """Everything that leaves something at rest."""
    await set_up(caller)
    await caller.ok("PUT", "/v1/lists/block/items/user:acme/u4", {})
    contract = {"rate_card": "default", "version": "v1", "starts_at": "2020-01-01T00:00:00Z"}
    await caller.ok("PUT", "/v1/orgs/globex/contract", contract | {"discount_bps": 250})
    heard = Heard()
    spender = Spender(caller, SEED, heard)
    for _ in range(STEPS):
        await spender.step()
    event = {"type": "auth_failed", "subject": {"org": "acme", "user": "u1"}}
    await caller.ok("POST", "/v1/events", event, "event-1")
    grant = {"amount_micros": 1_000, "kind": "paid"}
    made = await caller.ok("POST", "/v1/orgs/acme/grants", grant, key="void-me")
    await caller.ok("POST", f"/v1/orgs/acme/grants/{made['id']}/void", {})
    refund = {"amount_micros": 500, "kind": "refund", "note": "as agreed"}
    await caller.ok("POST", "/v1/orgs/acme/adjustments", refund, key="refund-1")
    some = next(iter(heard.decisions))
    await caller.ok("POST", "/v1/labels", {"decision": some, "label": "good"})
    await caller.reconciled()
    return heard


async def stored(url: str) -> dict[str, list[Any]]:
    """The bytes of holds and stored outcomes, as text, and what they are decoded to."""
    store = Pipeline(parse_url(url), deadline_s=30)
    cursor, names = b"0", []
    while True:
        cursor, some = await store.call("SCAN", cursor, "COUNT", 1000)
        names += [name.decode() for name in some]
        if cursor == b"0":
            break
    found: dict[str, list[Any]] = {"holds": [], "outcomes": []}
    for name in sorted(names):
        value = await store.call("GET", name) if await is_text(store, name) else None
        if value is not None and "//hold/" in name:
            hold, note = decode_hold(value)
            asked = plain(records.decode_asked(note)) if note else None
            found["holds"].append([name, text(value), plain(hold), asked])
        elif value is not None and OUTCOME.search(name):
            found["outcomes"].append([name, text(value)])
    await store.close()
    return found


async def is_text(store: Pipeline, name: str) -> bool:
    return bool(await store.call("TYPE", name) == b"string")


async def written(directory: Path) -> list[Any]:
    """Every record of the ledger: its bytes as text, and what they are decoded to."""
    engine = open_engine(f"sqlite:///{directory / 'ledger.db'}")
    lines = await History(engine).lines(0, 100_000)
    await engine.dispose()
    found = []
    for line in lines:
        out, note = records.decode(line)
        at_rest = [text(part) for part in (line.out, line.body, line.terms, line.kept)]
        place = [line.shard, line.epoch, line.seq, line.kind]
        found.append([place, at_rest, plain(out), plain(note) if note is not None else None])
    return found


async def answers(caller: Caller, heard: Heard) -> dict[str, Any]:
    """What is answered about the past, by path."""
    paths = [f"orgs/{org}/{what}" for org in (*ORGS, FREE[0]) for what in OF_ORGS]
    paths += [f"decisions/{decision}" for decision in sorted(heard.decisions)]
    paths += [f"holds/{hold}" for hold in sorted(heard.ends)]
    found = {}
    for path in [*OF_ALL, *paths]:
        status, answer, _ = await caller.send("GET", f"/v1/{path}")
        if status == 200:
            found[f"/v1/{path}"] = answer
    return found


async def make(gateway: Gateway, into: Path) -> None:
    async with Caller(gateway.address) as caller:
        heard = await live(caller)
        at_rest = await stored(gateway.store_url)
        at_rest["answers"] = [await answers(caller, heard)]
        at_rest["decisions"] = sorted(heard.decisions)
    assert gateway.stop() == 0
    at_rest["records"] = await written(gateway.directory)
    packed = lzma.compress(json.dumps(at_rest, sort_keys=True).encode())
    (into / "at_rest.json.xz").write_bytes(packed)


def main(into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name) / "data"
        directory.mkdir()
        with running(directory, open_shares=1, sweep_ms=3_600_000) as gateway:
            asyncio.run(make(gateway, into))
        with tarfile.open(into / "data.tar.xz", "w:xz") as tar:
            for path in sorted(directory.rglob("*")):
                if path.is_file() and "metrics" not in path.parts:
                    tar.add(path, path.relative_to(directory))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
