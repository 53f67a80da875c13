"""What earlier versions left at rest is read as they meant it: bytes, replays, directories."""

from __future__ import annotations

import base64
import json
import lzma
import shutil
import tarfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.commands import Ended, Moved, Outcome
from gateway.core.redecide import decided_again
from gateway.core.request_record import RequestRecord
from gateway.ledger.history import History
from gateway.ledger.verify import verify
from gateway.sql.engine import open_engine
from gateway.store.codec import decode_hold, kept_reply
from gateway.store.embedded import EmbeddedStore
from gateway.wire import records
from gateway.wire.records import StreamRecord
from tests.gateways import Caller, running

GOLDEN = sorted(path for path in Path(__file__).parent.iterdir() if (path / "data.tar.xz").exists())
GROWS = ("events", "movements", "charges")
"""What follows from a decision: a hold that was open has expired since."""
each = pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)


@lru_cache
def at_rest(golden: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = json.loads(
        lzma.decompress((golden / "at_rest.json.xz").read_bytes())
    )
    return found


def raw(text: str) -> bytes:
    return base64.b85decode(text)


def plain(value: Any) -> Any:
    return msgspec.to_builtins(msgspec.msgpack.decode(msgspec.msgpack.encode(value)))


def line_of(place: list[Any], parts: list[str]) -> StreamRecord:
    return StreamRecord(*place, *map(raw, parts))


def fits(now: Any, then: Any) -> bool:
    """Return whether an answer has every member and value of an earlier one; it may have more."""
    if isinstance(then, dict) and isinstance(now, dict):
        return all(name in now and fits(now[name], value) for name, value in then.items())
    if isinstance(then, list) and isinstance(now, list):
        return len(now) >= len(then) and all(map(fits, now, then))
    return bool(now == then)


def missing(now: Any, then: Any, at: str = "") -> list[str]:
    """Where an answer says something else than it did; what it says beyond that is new."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [line for key in then for line in missing(now.get(key), then[key], f"{at}/{key}")]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [line for n, pair in enumerate(zip(now, then, strict=True))
                for line in missing(*pair, f"{at}/{n}")]  # fmt: skip
    return [] if now == then else [f"{at}: {then} → {now}"]


def test_there_is_something_to_read() -> None:
    assert GOLDEN


@each
def test_every_record_says_what_it_said(golden: Path) -> None:
    kinds = set()
    for place, parts, out, note in at_rest(golden)["records"]:
        found_out, found_note = records.decode(line_of(place, parts))
        assert fits(plain(found_out), out), place
        assert note is None or fits(plain(found_note), note), place
        kinds.add(place[3])
    assert kinds >= {"authorize", "extend", "finish", "grant", "void", "adjust", "event"}


@each
def test_every_decision_is_made_again_from_its_record(golden: Path) -> None:
    decided = 0
    for place, parts, _, _ in at_rest(golden)["records"]:
        out, asked = records.decode(line_of(place, parts))
        if isinstance(out, Outcome) and isinstance(asked, RequestRecord):
            assert decided_again(asked, out) == out, place
            decided += 1
    assert decided > 50


@each
def test_every_hold_and_outcome_in_the_store_is_read(golden: Path) -> None:
    holds, outcomes = at_rest(golden)["holds"], at_rest(golden)["outcomes"]
    for name, value, then, asked in holds:
        hold, note = decode_hold(raw(value))
        assert fits(plain(hold), then), name
        assert asked is None or fits(plain(records.decode_asked(note)), asked), name
    for name, value in outcomes:
        packed = raw(value)
        assert any(is_read(packed, kind) for kind in (Outcome, Ended, Moved)), name
    assert len(holds) > 20 and len(outcomes) > 20


def is_read(packed: bytes, kind: type[Outcome | Ended | Moved]) -> bool:
    try:
        return kept_reply(packed, packed[:16], kind).status.name == "REPLAY"
    except msgspec.ValidationError:
        return False


@each
async def test_a_data_directory_is_taken_over(golden: Path, tmp_path: Path) -> None:
    unpack(golden, tmp_path)
    await take_over(golden, tmp_path)


@each
async def test_it_is_taken_over_with_a_store_elsewhere(golden: Path, tmp_path: Path) -> None:
    directory, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    unpack(golden, directory)
    (directory / "valkey").rename(elsewhere)
    store = EmbeddedStore(elsewhere, print)
    await store.start()
    try:
        await take_over(golden, directory, store_url=store.url)
    finally:
        await store.stop()


@each
async def test_it_is_taken_over_without_its_store(golden: Path, tmp_path: Path) -> None:
    """Everything is built from the ledger: balances, open holds, windows."""
    unpack(golden, tmp_path)
    shutil.rmtree(tmp_path / "valkey")
    await take_over(golden, tmp_path)


def unpack(golden: Path, directory: Path) -> None:
    # Python 3.11 has filters from 3.11.4 on (PEP 706).
    safe: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(golden / "data.tar.xz") as tar:
        tar.extractall(directory, **safe)


async def take_over(golden: Path, directory: Path, **settings: Any) -> None:
    """Run on what an earlier version left: answers, books and chain go on."""
    with running(directory, open_shares=1, **settings) as gateway:
        async with Caller(gateway.address) as caller:
            await caller.reconciled()
            for path, then in at_rest(golden)["answers"][0].items():
                status, now, _ = await caller.send("GET", path)
                assert status == 200, (path, now)
                assert differences(path, now, then) == []
            answer = await caller.authorize("acme", amount_micros=1, quantity=None)
            assert answer["decision"] == "allow"
            await caller.reconciled()
    engine = open_engine(f"sqlite:///{directory / 'ledger.db'}")
    verdict = await verify(History(engine), lambda rows: None)
    await engine.dispose()
    assert verdict.fault == ""
    assert verdict.rows >= len(at_rest(golden)["records"])


def differences(path: str, now: Any, then: Any) -> list[str]:
    if path.endswith(("/balance", "/trial_balance", "/head")):
        return []  # they go on: quotas begin anew, holds expire, the chain grows
    if path.startswith("/v1/decisions/"):
        then = {name: value for name, value in then.items() if name != "hold"}
        grown = {name: now[name][: len(then[name])] for name in GROWS}
        now = {**now, **grown}
    return missing(now, then, path)
