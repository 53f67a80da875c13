"""A backup taken while callers spend, restored into an empty deployment, is that moment whole."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

from tests.chaos.audit import reconciled_in_time
from tests.chaos.world import ORGS, Heard, Spender, set_up
from tests.gateways import Caller, running


def spendgate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def test_a_backup_restores_into_an_empty_deployment(tmp_path: Path) -> None:
    heard = Heard()
    saved, old, new = tmp_path / "backup", str(tmp_path / "old"), str(tmp_path / "new")
    with running(tmp_path / "old", workers=2) as gateway:
        async with Caller(gateway.address) as caller:
            await set_up(caller)
            spenders = [Spender(caller, seed, heard) for seed in range(4)]
            for _ in range(20):
                await asyncio.gather(*(spender.step() for spender in spenders))
            await caller.reconciled()
            acknowledged = set(heard.decisions)
            is_over = asyncio.Event()

            async def live(spender: Spender) -> None:
                while not is_over.is_set():
                    await spender.step()

            callers = [asyncio.create_task(live(spender)) for spender in spenders]
            made = await asyncio.to_thread(spendgate, "backup", str(saved), "--data-dir", old)
            is_over.set()
            await asyncio.gather(*callers)
    assert made.returncode == 0, made.stderr
    assert spendgate("backup", str(saved), "--data-dir", old).returncode == 2, "not empty"
    assert spendgate("restore", str(saved), "--data-dir", old).returncode == 2, "not empty"
    refused = spendgate("restore", str(saved), "--data-dir", new)
    assert refused.returncode == 2
    assert "there is no pseudonym key" in refused.stderr
    carry_key(tmp_path)
    done = spendgate("restore", str(saved), "--data-dir", new)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("head")[1] == made.stdout.split("head")[1].splitlines()[0] + "\n"

    with running(tmp_path / "new", workers=2) as gateway:
        async with Caller(gateway.address) as caller:
            await reconciled_in_time(caller)
            for decision in sorted(acknowledged)[:20]:
                assert (await caller.ok("GET", f"/v1/decisions/{decision}"))["id"] == decision
            for org in ORGS:
                assert (await caller.authorize(org, amount_micros=1))["decision"] == "allow"
            await reconciled_in_time(caller)


def carry_key(directory: Path) -> None:
    """Bring the key of pseudonyms to where a backup is restored, as an operator would."""
    (directory / "new").mkdir(exist_ok=True)
    shutil.copy(directory / "old" / "pseudonym.key", directory / "new")


def test_a_backup_that_was_changed_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "old"):
        assert spendgate("backup", f"{tmp_path}/b", "--data-dir", f"{tmp_path}/old").returncode == 0
    manifest = tmp_path / "b" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"batch": 0', '"batch": 1'))
    refused = spendgate("restore", f"{tmp_path}/b", "--data-dir", f"{tmp_path}/new")
    assert refused.returncode == 2
    assert "is not what its manifest says" in refused.stderr
    assert not (tmp_path / "new" / "ledger.db").exists()
