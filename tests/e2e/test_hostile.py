"""What is no request, or never becomes one: a clear 4xx, and nobody else is disturbed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import msgspec
import pytest

from tests.e2e.hostile import asked
from tests.gateways import ADMIN_KEY, Caller, Gateway, running

JSON = b"Content-Type: application/json\r\n"
ADMIN = b"Authorization: Bearer " + ADMIN_KEY.encode() + b"\r\n"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that waits two seconds for a request and keeps few connections."""
    with running(
        tmp_path_factory.mktemp("impatient"),
        workers=2,
        idle_timeout_s=2,
        body_timeout_s=2,
        max_connections=400,
    ) as found:

        async def price() -> None:
            async with Caller(found.address) as caller:
                await caller.prices()

        asyncio.run(price())
        yield found


async def connected(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = int(gateway.address.rsplit(":", 1)[1])
    return await asyncio.open_connection("127.0.0.1", port)


async def heard(
    gateway: Gateway, first: bytes, drip: bytes = b"", wait_s: float = 8
) -> tuple[bytes, float]:
    """What comes back for these bytes until the end, and when; `drip` follows bit by bit."""
    started = time.monotonic()
    reader, writer = await connected(gateway)

    async def feed() -> None:
        writer.write(first)
        while drip:
            await asyncio.sleep(0.25)
            writer.write(drip)

    feeding = asyncio.create_task(feed())
    answer = b""
    try:
        async with asyncio.timeout(wait_s):
            while part := await reader.read(65536):
                answer += part
    except ConnectionError:
        pass
    finally:
        feeding.cancel()
        writer.close()
    return answer, time.monotonic() - started


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1."), answer[:100]
    return int(answer.split(b" ", 2)[1])


POST = b"POST /v1/authorize HTTP/1.1\r\nHost: x\r\n" + ADMIN + JSON
GARBAGE = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    "zeros": bytes(5000),
    "a long word": b"a" * 100_000,
    "a version of its own": b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
    "a method of its own": b"BREW /v1/authorize HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "an impossible address": b"GET http://[::1/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in the path": b"GET /v1/orgs/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "zero in a header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    "a folded header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "a huge header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 5000 + b"\r\n",
    "a huge path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a length and chunks": POST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "a negative length": POST + b"Content-Length: -2\r\n\r\n{}",
    "a length beyond counting": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n{}",
    "chunks of no size": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a connection to elsewhere": b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a huge body announced": POST + b"Content-Length: 99999999999\r\n\r\n{}",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_answered_with_a_4xx_problem_and_the_connection_ends(
    impatient: Gateway, garbage: bytes
) -> None:
    answer, _ = await heard(impatient, garbage)
    assert 400 <= status_of(answer) < 500
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert msgspec.json.decode(body)["status"] == status_of(answer)
    assert len(answer) < 1000, "garbage is not sent back"


async def test_slow_things_get_a_4xx_in_their_time_and_the_connection_ends(
    impatient: Gateway,
) -> None:
    anonymous = POST.replace(ADMIN, b"")
    slow = {
        "nothing": heard(impatient, b""),
        "half a line": heard(impatient, b"GET /hea"),
        "slow headers": heard(impatient, b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n"),
        "a slow line": heard(impatient, b"GET /", b"a"),
        "a slow body": heard(impatient, POST + b"Content-Length: 60000\r\n\r\n{", b" "),
        "half a body": heard(impatient, POST + b"Content-Length: 9\r\n\r\n{"),
        "slow chunks": heard(
            impatient, POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"
        ),
        "a bad chunk": heard(impatient, POST + b"Transfer-Encoding: chunked\r\n\r\n", b"z\r\n"),
        "a slow stranger": heard(impatient, anonymous + b"Content-Length: 60000\r\n\r\n{", b" "),
        "a body for a GET": heard(
            impatient, b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{", b" "
        ),
    }
    wanted = dict.fromkeys(slow, 408)
    wanted |= {"nothing": 0, "a slow stranger": 401, "a body for a GET": 200}
    answers = dict(zip(slow, await asyncio.gather(*slow.values()), strict=True))
    for what, (answer, seconds) in answers.items():
        assert (status_of(answer) if answer else 0) == wanted[what], (what, answer)
        assert 1.5 < seconds < 6, what


async def test_who_asks_but_never_reads_is_cut_off(impatient: Gateway) -> None:
    reader, writer = await connected(impatient)
    writer.transport.pause_reading()
    writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
    await asyncio.sleep(4)
    writer.transport.resume_reading()
    with pytest.raises(ConnectionError):
        while await asyncio.wait_for(reader.read(65536), 5):
            pass
    writer.close()


async def test_who_waits_to_be_told_to_go_on_is_told(impatient: Gateway, org: str) -> None:
    body = msgspec.json.encode(asked(org))
    reader, writer = await connected(impatient)
    writer.write(POST + f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10) == (
        b"HTTP/1.1 100 Continue\r\n\r\n"
    )
    writer.write(body)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert status_of(head) == 200
    writer.close()


async def test_pipelined_requests_are_answered_in_order(impatient: Gateway) -> None:
    lines = [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(500)]
    last = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer, _ = await heard(impatient, b"".join(lines) + last)
    order = [part.split(b'"')[0] for part in answer.split(b"there is nothing at /")[1:]]
    assert order == [b"%d" % number for number in range(500)] + [b"last"]


async def test_hundreds_of_bad_connections_disturb_no_other_caller(
    impatient: Gateway, org: str
) -> None:
    kinds = [
        (b"", b""),
        (b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n"),
        (POST + b"Content-Length: 60000\r\n\r\n{", b" "),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (GARBAGE["a huge header"], b""),
        (GARBAGE["tls"], b""),
        (POST + b"Content-Length: 65000\r\n\r\n" + b"[" * 65_000, b""),
        (POST.replace(ADMIN, b"") + b"Content-Length: 99999999\r\n\r\n", b"x" * 10_000),
    ]
    is_over = asyncio.Event()
    slowest, calls = 0.0, 0
    async with Caller(impatient.address) as caller:
        await caller.org(org, 1_000_000_000)

        async def work() -> None:
            nonlocal slowest, calls
            while not is_over.is_set():
                started = time.monotonic()
                assert (await caller.authorize(org))["decision"] == "allow"
                slowest, calls = max(slowest, time.monotonic() - started), calls + 1

        working = asyncio.create_task(work())
        answers = await asyncio.gather(*(heard(impatient, *kinds[i % 8]) for i in range(400)))
        is_over.set()
        await working
        assert (await caller.balance(org))["held_micros"] == calls * 10_000
        await caller.reconciled()
    assert calls > 50
    assert slowest < 1.5, f"of {calls} calls the slowest took {slowest:.2f} s"
    assert all(seconds < 7 for _, seconds in answers), "a bad connection was kept"
    assert {status_of(answer) for answer, _ in answers if answer} <= {400, 401, 408, 413}
    assert impatient.errors == []


async def test_connections_beyond_the_limit_are_turned_away_until_there_is_room(
    impatient: Gateway, org: str
) -> None:
    async with Caller(impatient.address) as caller:
        await caller.org(org, 1_000_000)
        opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for _ in range(12):
            some = await asyncio.gather(*(connected(impatient) for _ in range(100)))
            for _, writer in some:
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            opened += some
            # A connection that was there before is served all the while.
            assert (await caller.authorize(org))["decision"] == "allow"
        reads = (reader.read() for reader, _ in opened)
        said = await asyncio.gather(*reads, return_exceptions=True)
        served = sum(isinstance(answer, bytes) and b" 200 OK" in answer for answer in said)
        assert 0 < served < 1200, "some were turned away"
        for _, writer in opened:
            writer.close()
    async with Caller(impatient.address) as caller:
        assert (await caller.authorize(org))["decision"] == "allow"
