"""`spendgate import`: many accounts from a file, and what a second run does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.gateways import ADMIN_KEY, Caller, Gateway


def imported(gateway: Gateway, file: Path, key: str = ADMIN_KEY) -> tuple[int, str]:
    """Exit code and output of an import."""
    command = [sys.executable, "-m", "gateway.cli", "import", str(file), "--url", gateway.address]
    done = subprocess.run([*command, "--key", key], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout if done.returncode < 2 else done.stderr


def written(file: Path, lines: list[Any]) -> Path:
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file


def accounts(org: str, count: int) -> list[Any]:
    """Orgs, each with a member and a limit, in the order in which they must come."""
    kinds: list[dict[str, Any]] = [
        {"kind": "org", "plan": "payg", "metadata": {"crm": org}},
        {"kind": "user", "id": "jane.doe@example.com", "name": "Jane"},
        {"kind": "cap", "id": "daily", "level": "org", "window": "day", "limit_micros": 5},
        {"kind": "rate_limit", "id": "rpm", "level": "user", "unit": "requests", "limit": 9},
    ]
    return [{**line, "org": f"{org}/{n}"} for n in range(count) for line in kinds]


async def test_accounts_are_imported_in_the_order_of_each_org(
    gateway: Gateway, caller: Caller, org: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "accounts.ndjson", accounts(org, 300))
    assert imported(gateway, file) == (0, "1200 lines are in, 0 failed\n")
    page = await caller.ok("GET", f"/v1/orgs?metadata.crm={org}&limit=200")
    assert len(page["data"]) == 200
    path = f"/v1/orgs/{org}%2F299"
    assert (await caller.ok("GET", f"{path}/users/jane.doe@example.com"))["name"] == "Jane"
    assert (await caller.ok("GET", f"{path}/caps/daily"))["limit_micros"] == 5
    again = imported(gateway, file)
    assert again == (0, "1000 lines are in: it goes on after them\n200 lines are in, 0 failed\n")


async def test_a_wrong_line_is_named_and_the_others_are_in(
    gateway: Gateway, caller: Caller, org: str, tmp_path: Path
) -> None:
    lines = accounts(org, 2)
    wrong = [{**lines[2], "limit_micros": -1}, {"kind": "planet"}, [], {"kind": "cap", "org": org}]
    file = written(tmp_path / "accounts.ndjson", [*lines, *wrong])
    file.write_text(file.read_text() + "\n{no json\n")
    code, said = imported(gateway, file)
    assert code == 1
    assert "9 lines are in, 5 failed" in said
    for number in (9, 10, 11, 12, 14):
        assert f"line {number}: " in said
    assert "expected int >= 0" in said
    assert (await caller.ok("GET", f"/v1/orgs/{org}%2F1/caps/daily"))["limit_micros"] == 5


def test_a_refused_credential_and_a_missing_file_are_one_line(
    gateway: Gateway, org: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "accounts.ndjson", accounts(org, 1))
    code, said = imported(gateway, file, "sk_wrong")
    assert code == 2
    assert said.strip().splitlines()[-1].startswith("spendgate: 401")
    code, said = imported(gateway, tmp_path / "none")
    assert (code, said.strip().splitlines()[-1].startswith("spendgate: ")) == (2, True)
