"""Files are their owner's alone, secrets are nowhere they could be read, parts belong together."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from hmac import new as hmac_of
from pathlib import Path

import pytest

from tests.e2e.test_processes import children
from tests.gateways import ADMIN_KEY, Caller, Gateway, running


def spendgate(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **{f"SPENDGATE_{n.upper()}": v for n, v in settings.items()}}
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *arguments],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip


def refusal(directory: Path, *options: str, **settings: str) -> str:
    """What `serve` says before it ends, where it may not start."""
    done = spendgate("serve", "--data-dir", str(directory), "--port", "0", *options, **settings)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with an org, some credit, a blocked address and what was decided."""
    with running(tmp_path_factory.mktemp("used"), workers=2) as gateway:

        async def use() -> None:
            async with Caller(gateway.address) as caller:
                await caller.prices()
                await caller.org("acme", 1_000_000)
                await caller.authorize("acme")
                await caller.ok("PUT", "/v1/lists/block/items/ip:203.0.113.9", {})
                await caller.ok("POST", "/v1/credentials", {"name": "one", "scopes": ["read"]})
                await caller.reconciled()

        asyncio.run(use())
        yield gateway


class TestFiles:
    def test_all_that_is_in_the_data_directory_is_its_owners_alone(self, used: Gateway) -> None:
        found = {path: stat.S_IMODE(path.lstat().st_mode) for path in used.directory.rglob("*")}
        assert len(found) > 8
        names = {path.name for path in found}
        assert {"catalog.db", "ledger.db", "pseudonym.key", "valkey.sock", "metrics"} <= names
        for path, mode in found.items():
            assert mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))
        assert stat.S_IMODE(used.directory.stat().st_mode) == 0o700

    def test_what_earlier_versions_left_readable_is_closed_at_the_start(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "opened").mkdir(mode=0o755)
        (tmp_path / "opened" / "old.journal").write_bytes(b"")
        (tmp_path / "opened" / "old.journal").chmod(0o644)
        tmp_path.chmod(0o755)
        with running(tmp_path):
            assert stat.S_IMODE((tmp_path / "opened").stat().st_mode) == 0o700
            assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700

    def test_a_directory_that_cannot_serve_is_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        assert "is a file" in refusal(tmp_path / "file")
        assert "is a file" in refusal(tmp_path / "file" / "below")


class TestSecrets:
    def test_the_admin_key_is_in_no_childs_environment_and_in_no_file(self, used: Gateway) -> None:
        assert used.process is not None
        below = children(used.process.pid)
        assert len(below) == 4
        for pid in below:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            assert ADMIN_KEY.encode() not in environment + command
            assert b"SPENDGATE_" not in environment
        for path in used.directory.rglob("*"):
            if path.is_file():
                assert ADMIN_KEY.encode() not in path.read_bytes(), path

    async def test_a_copied_catalog_gives_no_credential_away(
        self, used: Gateway, tmp_path: Path
    ) -> None:
        async with Caller(used.address) as caller:
            body = {"name": "stolen?", "scopes": ["admin"]}
            made = await caller.ok("POST", "/v1/credentials", body, key="once")
            again = await caller.ok("POST", "/v1/credentials", body, key="once")
        assert made == again, "it is kept for a day under the caller's own key"
        for name in ("catalog.db", "catalog.db-wal"):
            raw = (used.directory / name).read_bytes()
            secret = made["secret"].removeprefix("sk_")
            assert secret.encode() not in raw
            assert bytes.fromhex(secret) not in raw
            assert sha256(made["secret"].encode()).hexdigest().encode() in raw or name != (
                "catalog.db-wal"
            )
            key = (used.directory / "pseudonym.key").read_text().strip()
            assert key.encode() not in raw
            assert bytes.fromhex(key) not in raw

    async def test_the_same_answer_needs_the_same_caller_and_key(self, used: Gateway) -> None:
        body = {"name": "x", "scopes": ["read"]}
        async with Caller(used.address) as caller:
            first = await caller.ok("POST", "/v1/credentials", body, key="a")
            other = await caller.ok("POST", "/v1/credentials", body, key="b")
        assert first["secret"] != other["secret"]

    def test_passwords_of_urls_are_not_printed(self, tmp_path: Path) -> None:
        for option, url in (
            ("--store-url", "redis://u:hunter2@127.0.0.1:99999"),
            ("--store-url", "http://u:hunter2@127.0.0.1"),
            ("--store-url", "redis://:hunter2@127.0.0.1:1"),
            ("--ledger-url", "mysql://u:hunter2@h/d"),
            ("--ledger-url", "postgresql://u:hunter2@127.0.0.1:1/d"),
            ("--ledger-url", "postgresql://u:hunter2@127.0.0.1:port/d"),
        ):
            said = refusal(tmp_path, option, url)
            assert "hunter2" not in said, said

    async def test_secrets_of_earlier_versions_work_and_are_marked_to_be_rotated(
        self, tmp_path: Path
    ) -> None:
        with running(tmp_path):
            pass
        # As an earlier version left it: one secret in the catalog that all others follow from.
        secret = "ab" * 32
        derived = "sk_" + hmac_of(secret.encode(), b"cred_old", sha256).hexdigest()
        (tmp_path / "pseudonym.key").unlink()
        with closing(sqlite3.connect(tmp_path / "catalog.db")) as catalog:
            catalog.execute("DELETE FROM meta WHERE name = 'pseudonym_key'")
            catalog.execute("INSERT INTO meta VALUES ('secret', ?)", (secret,))
            catalog.execute(
                "INSERT INTO credentials (id, name, scopes, org, digest, created_ms)"
                " VALUES ('cred_old', 'old', 'admin read', '', ?, 1)",
                (sha256(derived.encode()).hexdigest(),),
            )
            catalog.commit()
        with running(tmp_path) as gateway:
            async with Caller(gateway.address, derived) as old:
                (listed,) = (await old.ok("GET", "/v1/credentials"))["credentials"]
                assert listed["must_rotate"] is True
                fresh = await old.ok("POST", "/v1/credentials/cred_old/rotate", {})
                assert (await refused_in_time(old)) == 401
            async with Caller(gateway.address, fresh["secret"]) as new:
                (listed,) = (await new.ok("GET", "/v1/credentials"))["credentials"]
                assert listed["must_rotate"] is False
        assert (tmp_path / "pseudonym.key").read_text().strip() == secret
        for name in ("catalog.db", "catalog.db-wal"):
            path = tmp_path / name
            assert not path.exists() or secret.encode() not in path.read_bytes()


async def refused_in_time(caller: Caller) -> int:
    """The status of a call once the worker knows that its credential is gone."""
    for _ in range(200):
        status, _, _ = await caller.send("GET", "/v1/credentials", Connection="close")
        if status != 200:
            return status
        await asyncio.sleep(0.02)
    return 200


class TestBelongingTogether:
    def test_a_second_gateway_on_the_port_hears_who_has_it(
        self, used: Gateway, tmp_path: Path
    ) -> None:
        port = used.address.rpartition(":")[2]
        done = spendgate("serve", "--data-dir", str(tmp_path), "--port", port)
        assert done.returncode == 2
        assert "already in use" in done.stderr
        assert "--takeover" in done.stderr

    def test_a_second_gateway_on_the_store_with_books_of_its_own_is_refused(
        self, used: Gateway, tmp_path: Path
    ) -> None:
        said = refusal(tmp_path, "--store-url", used.store_url)
        assert "belongs to a deployment that has some" in said
        assert "the store of dep_" in said

    def test_parts_of_two_deployments_are_refused(self, used: Gateway, tmp_path: Path) -> None:
        with running(tmp_path):
            pass
        said = refusal(tmp_path, "--store-url", used.store_url)
        assert "do not belong together" in said
        said = refusal(tmp_path, "--ledger-url", f"sqlite:///{used.directory}/ledger.db")
        assert "do not belong together" in said

    def test_another_pseudonym_key_and_none_are_refused(self, tmp_path: Path) -> None:
        with running(tmp_path):
            pass
        key = tmp_path / "pseudonym.key"
        kept = key.read_text()
        key.write_text("cd" * 32 + "\n")
        assert "is another one than this catalog was used with" in refusal(tmp_path)
        key.write_text("nonsense")
        assert "is no key" in refusal(tmp_path)
        key.unlink()
        assert "there is no pseudonym key" in refusal(tmp_path)
        command = f"echo {kept.strip()}"
        with running(tmp_path, pseudonym_key_command=command):
            pass

    async def test_an_older_ledger_is_refused_until_somebody_says_it_is_the_newest(
        self, tmp_path: Path
    ) -> None:
        live, older = tmp_path / "live", tmp_path / "older.db"
        with running(live) as gateway:
            async with Caller(gateway.address) as caller:
                await caller.prices()
                await caller.org("acme", 1_000_000)
                await caller.reconciled()
        shutil.copy(live / "ledger.db", older)
        with running(live) as gateway:
            async with Caller(gateway.address) as caller:
                for _ in range(5):
                    await caller.authorize("acme", capture=True)
                await caller.reconciled()
        for name in ("ledger.db-wal", "ledger.db-shm"):
            (live / name).unlink(missing_ok=True)
        shutil.copy(older, live / "ledger.db")
        said = refusal(live)
        assert "it is an older copy" in said
        assert "spendgate rebuild" in said
        found = spendgate("doctor", "--data-dir", str(live))
        assert found.returncode == 1
        assert "wrong: the store was booked up to batch" in found.stdout
        assert spendgate("rebuild", "--data-dir", str(live)).returncode == 0
        with running(live) as gateway:
            async with Caller(gateway.address) as caller:
                assert (await caller.balance("acme"))["available_micros"] == 1_000_000
                await caller.reconciled()

    async def test_a_ledger_that_went_another_way_is_refused(self, tmp_path: Path) -> None:
        live, fork = tmp_path / "live", tmp_path / "fork"
        with running(live) as gateway:
            async with Caller(gateway.address) as caller:
                await caller.prices()
                await caller.org("acme", 1_000_000)
                await caller.reconciled()
        shutil.copytree(live, fork)
        for directory, count in ((live, 1), (fork, 4)):
            with running(directory) as gateway:
                async with Caller(gateway.address) as caller:
                    for _ in range(count):
                        await caller.authorize("acme", capture=True)
                        await caller.reconciled()
        shutil.rmtree(live / "valkey")
        shutil.copytree(fork / "valkey", live / "valkey")
        assert "older copy" in (said := refusal(live)) or "have parted" in said

    def test_a_lost_ledger_or_catalog_is_no_first_start(self, tmp_path: Path) -> None:
        with running(tmp_path) as gateway:
            asyncio.run(_give(gateway))
        kept = tmp_path.parent / f"{tmp_path.name}-kept"
        shutil.copytree(tmp_path, kept, ignore=shutil.ignore_patterns("valkey"))
        for room in ("ledger", "catalog"):
            shutil.rmtree(tmp_path)
            shutil.copytree(kept, tmp_path)
            for path in tmp_path.glob(f"{room}.db*"):
                path.unlink()
            assert f"{room} is new" in refusal(tmp_path)

    def test_a_backup_without_its_code_is_refused(self, used: Gateway, tmp_path: Path) -> None:
        saved = tmp_path / "saved"
        made = spendgate("backup", str(saved), "--data-dir", str(used.directory))
        assert made.returncode == 0, made.stderr
        (tmp_path / "new").mkdir()
        shutil.copy(used.directory / "pseudonym.key", tmp_path / "new")
        manifest = saved / "manifest.json"
        whole = manifest.read_text()
        lines = [
            line
            for line in whole.splitlines()
            if not any(f'"{name}"' in line for name in ("catalog", "key", "mac"))
        ]
        manifest.write_text("\n".join(lines).replace(",\n}", "\n}"))
        for text in (manifest.read_text(), whole.replace('"rows": ', '"rows": 1')):
            manifest.write_text(text)
            done = spendgate("restore", str(saved), "--data-dir", str(tmp_path / "new"))
            assert done.returncode == 2, done.stdout
        manifest.write_text(whole)
        with closing(sqlite3.connect(saved / "catalog.db")) as catalog:
            catalog.execute("UPDATE credentials SET scopes = 'admin authorize'")
            catalog.commit()
        done = spendgate("restore", str(saved), "--data-dir", str(tmp_path / "new"))
        assert "the catalog is not the one that was backed up" in done.stderr

    async def test_a_successor_takes_the_port_over_without_a_refused_call(
        self, tmp_path: Path, valkey_url: str
    ) -> None:
        # A store of its own: an embedded one would end with the first parent.
        from gateway.store.embedded import EmbeddedStore

        store = EmbeddedStore(tmp_path / "valkey", print)
        await store.start()
        try:
            with running(tmp_path / "a", store_url=store.url, workers=2) as first:
                port = int(first.address.rpartition(":")[2])
                second = Gateway(tmp_path / "a", 2, store_url=store.url)
                answers: list[int] = []
                async with Caller(first.address) as caller:
                    await caller.prices()
                    await caller.org("acme", 10**9)
                    is_over = asyncio.Event()

                    async def call() -> None:
                        while not is_over.is_set():
                            status, _, _ = await caller.send(
                                "POST", "/v1/authorize",
                                {"subject": {"org": "acme"}, "product": "cent",
                                 "quantity": {"units": 1}, "capture": True},
                                Connection="close",
                            )  # fmt: skip
                            answers.append(status)

                    calling = asyncio.create_task(call())
                    await asyncio.to_thread(second.start, port, "--takeover")
                    assert first.process is not None
                    assert await asyncio.to_thread(first.process.wait, 60) == 0
                    for _ in range(20):
                        await asyncio.sleep(0.02)
                    is_over.set()
                    await calling
                assert set(answers) == {200}
                assert second.stop() == 0
        finally:
            await store.stop()


async def _give(gateway: Gateway) -> None:
    async with Caller(gateway.address) as caller:
        await caller.org("acme", 1_000_000)
        await caller.reconciled()
