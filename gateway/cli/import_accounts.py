"""`spendgate import`: orgs, members and limits from a file of JSON lines, many at a time."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote
from zlib import crc32

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from gateway.cli.api_client import ADDRESS, Url, faults
from gateway.cli.process import say
from gateway.client import Problem, Spendgate
from gateway.errors import OperatorError

LANES = 16
"""Lines under way at once. Lines of one org share a lane: an org comes before its members."""
LANE_LINES = 100
"""Lines that wait in a lane; a file of any size is read no faster than it is sent."""
MOST_SHOWN = 20
MARK_EVERY = 1_000
DONE = ".done"
"""Suffix of the file that says how many lines are done, so that a second run goes on there."""
PATHS = {
    "org": "/v1/orgs/{org}",
    "contract": "/v1/orgs/{org}/contract",
    "project": "/v1/orgs/{org}/projects/{id}",
    "user": "/v1/orgs/{org}/users/{id}",
    "key": "/v1/orgs/{org}/keys/{id}",
    "cap": "/v1/orgs/{org}/caps/{id}",
    "rate_limit": "/v1/orgs/{org}/rate_limits/{id}",
}
Key = Annotated[str, typer.Option(envvar="SPENDGATE_KEY", help="a credential of scope admin")]
File = Annotated[Path, typer.Argument(help="one JSON object a line: kind, org, id and its members")]


class WrongLine(Exception):
    """A line that is no object of a known kind."""


@dataclass
class Run:
    """Progress of an import, by numbers of lines, which count from 1."""

    first: int
    """Lines that an earlier run has done."""
    upto: int
    """All lines up to this one are done or failed."""
    ended: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)
    fatal: Exception | None = None
    """Why nothing more is sent: the gateway does not answer, or refuses the credential."""
    marks: dict[int, str] = field(default_factory=dict)
    """Digest of the file up to each MARK_EVERY lines: where a second run may go on."""

    def end(self, number: int, fault: str = "") -> None:
        """Note the end of a line."""
        if fault:
            self.failed[number] = fault
        self.ended.add(number)
        while self.upto + 1 in self.ended:
            self.upto += 1
            self.ended.discard(self.upto)

    @property
    def is_in(self) -> int:
        """The number of lines that are done without a fault before them."""
        return min([self.upto + 1, *self.failed]) - 1


def read(file: File, url: Url = ADDRESS, key: Key = "") -> None:
    """Put orgs, members and limits of a file; 1 if a line failed. A second run goes on after it.

    A line is `{"kind": "cap", "org": "acme", "id": "daily", …}` with the members of its PUT.
    """
    with _opened(file) as opened:
        size = os.fstat(opened.fileno()).st_size
    first = _done(file)
    run = Run(first, first)
    if first:
        say(f"{first} lines are in: it goes on after them")
    with faults(url):
        asyncio.run(_send(file, size, url, key, run))
    _note(file, run)
    for number, fault in sorted(run.failed.items())[:MOST_SHOWN]:
        say(f"line {number}: {fault}")
    if len(run.failed) > MOST_SHOWN:
        say(f"… and {len(run.failed) - MOST_SHOWN} more")
    failed = sum(number <= run.upto for number in run.failed)
    say(f"{run.upto - first - failed} lines are in, {len(run.failed)} failed")
    if run.fatal is not None:
        with faults(url):
            raise run.fatal
    if run.failed:
        raise typer.Exit(1)


async def _send(file: Path, size: int, url: str, key: str, run: Run) -> None:
    lanes = [asyncio.Queue[tuple[int, bytes] | None](LANE_LINES) for _ in range(LANES)]
    async with Spendgate(url, key, timeout_s=60) as gateway, asyncio.TaskGroup() as tasks:
        for lane in lanes:
            tasks.create_task(_work(gateway, lane, run))
        with Progress(console=Console(stderr=True), transient=True) as shown:
            bar = shown.add_task("importing", total=size)
            for number, line in _lines(file, run):
                if run.fatal is not None:
                    break
                await lanes[crc32(_org_of(line)) % LANES].put((number, line))
                shown.advance(bar, len(line))
                if not number % MARK_EVERY:
                    _note(file, run)
            for lane in lanes:
                await lane.put(None)


async def _work(
    gateway: Spendgate, lane: asyncio.Queue[tuple[int, bytes] | None], run: Run
) -> None:
    while (item := await lane.get()) is not None:
        number, line = item
        if run.fatal is not None:
            continue
        try:
            path, body = _call_of(line)
            await gateway.call("PUT", path, body)
            run.end(number)
        except WrongLine as error:
            run.end(number, str(error))
        except Problem as error:
            if error.status in (401, 403) or error.status >= 500:
                run.fatal = error
            else:
                run.end(number, str(error))
        except (OSError, TimeoutError) as error:
            run.fatal = error


def _call_of(line: bytes) -> tuple[str, dict[str, Any]]:
    """Path and body of the PUT that a line asks for. Raises WrongLine."""
    try:
        body: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise WrongLine(f"it is no JSON object: {error}") from None
    kind = body.pop("kind", None)
    if kind not in PATHS:
        raise WrongLine(f"its kind is {kind!r}; it takes {', '.join(PATHS)}")
    path = PATHS[kind]
    for name in ("org", "id"):
        if f"{{{name}}}" not in path:
            continue
        value = body.pop(name, None)
        if not isinstance(value, str) or not value:
            raise WrongLine(f"a {kind} needs {name!r}, a text")
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    return path, body


def _org_of(line: bytes) -> bytes:
    try:
        return repr(msgspec.json.decode(line)["org"]).encode()
    except (msgspec.DecodeError, TypeError, KeyError):
        return b""


def _lines(file: Path, run: Run) -> Iterator[tuple[int, bytes]]:
    """The lines that are not done yet, with their numbers; empty ones are done as they are read."""
    digest = hashlib.blake2b(digest_size=16)
    with _opened(file) as opened:
        for number, line in enumerate(opened, 1):
            digest.update(line)
            if not number % MARK_EVERY:
                run.marks[number] = digest.hexdigest()
            if number <= run.first:
                continue
            if line.strip():
                yield number, line
            else:
                run.end(number)


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise OperatorError("no_file", f"{file} cannot be read: {error.strerror}") from None


def _note(file: Path, run: Run) -> None:
    """Store how many lines are in, with a digest of them: of another file none are."""
    mark = run.is_in // MARK_EVERY * MARK_EVERY
    if mark in run.marks:
        file.with_name(file.name + DONE).write_text(f"{mark} {run.marks[mark]}\n")


def _done(file: Path) -> int:
    try:
        text = file.with_name(file.name + DONE).read_text()
    except OSError:
        return 0
    mark, _, digest = text.strip().partition(" ")
    if not mark.isdecimal():
        return 0
    found = hashlib.blake2b(digest_size=16)
    with _opened(file) as opened:
        for line in islice(opened, int(mark)):
            found.update(line)
    return int(mark) if found.hexdigest() == digest else 0
