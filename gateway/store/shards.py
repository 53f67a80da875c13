"""Shards as a whole: their status, and how a closed one is wiped, rebuilt and opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import msgpack

from gateway.core.commands import Version
from gateway.errors import Bug, OperatorError, Unavailable
from gateway.store import keys
from gateway.store.codec import position
from gateway.store.functions import Command, Functions
from gateway.store.pipeline import Argument
from gateway.store.port import ShardState
from gateway.wire.records import StreamRecord

OLDEST_VERSION = (7, 2)
"""The oldest version that is accepted, as INFO's redis_version has it; Valkey 8 has 7.2, too."""
LOCK_MS = 15_000
"""Life of a lock in ms."""
OFFERS_MS = 60_000
"""Life of offered records in ms."""
AT_A_TIME = 400
"""Records in one call: a function's arguments must fit Lua's stack."""
ARGUMENTS = 2_000
"""Arguments after which a call is full; the last command may add a few hundred."""
SCANNED_AT_A_TIME = 2_000

_pack = msgpack.Encoder().encode
_record = msgpack.Decoder(StreamRecord)


@dataclass(frozen=True)
class Booked:
    """The owner of a store, the last ledger batch that it was booked in, and what stopped that."""

    deployment: str = ""
    n: int = 0
    hash: bytes = b""
    stopped_by: str = ""


class Shards:
    """Operations on shards rather than in them."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._deployment = ""

    async def check_server(self, durability: str) -> None:
        """Check that the server keeps money as safe as `durability` says.

        Raises OperatorError where it cannot.
        """
        text = (await self._functions.run(("INFO", "everything"))).decode()
        info = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        version = tuple(int(part) for part in info["redis_version"].split(".")[:2])
        if version < OLDEST_VERSION:
            raise OperatorError(
                "store_too_old",
                f"the store is version {info['redis_version']}; it must be redis 7.2 or valkey 8"
                " or newer",
            )
        if durability in ("fsync", "replica"):
            await self._check_synced(info.get("aof_enabled") == "1")
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise OperatorError(
                "store_evicts",
                f"the store's maxmemory-policy is {policy}: it would forget balances;"
                " set it to noeviction",
            )

    async def _check_synced(self, is_appending: bool) -> None:
        try:
            _, found = await self._functions.run(("CONFIG", "GET", "appendfsync"))
        except Bug:
            # Not known here: some services do not allow CONFIG.
            found = b"always"
        if not is_appending or found != b"always":
            how = f"appendfsync is {found.decode()}" if is_appending else "appendonly is off"
            raise OperatorError(
                "store_not_durable",
                f"the store may lose what it answered: {how}; set appendonly yes and appendfsync"
                " always, or SPENDGATE_DURABILITY to memory or ledger",
            )

    async def booked(self) -> Booked:
        """Return the store's owner, and in which batch of the ledger it was booked last."""
        flat = await self._functions.run(("HGETALL", keys.deployment()))
        found = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
        return Booked(
            found.get("id", b"").decode(),
            int(found.get("n", 0)),
            found.get("hash", b""),
            found.get("stopped", b"").decode(),
        )

    async def claim(self, deployment: str) -> None:
        """Let a store without an owner belong to a deployment."""
        await self._functions.run(("HSETNX", keys.deployment(), "id", deployment))
        self._deployment = deployment

    async def book(self, n: int, digest: bytes) -> None:
        """Write down the last batch of the ledger that the store was booked in."""
        # The owner is written, too: a store that was flushed meanwhile is still ours.
        whose = ("id", self._deployment) if self._deployment else ()
        await self._functions.run(("HSET", keys.deployment(), "n", n, "hash", digest, *whose))

    async def stop(self, reason: str) -> None:
        """Report to all gateways that nothing more is booked, and why; "": it is again."""
        said: Command = ("HDEL", keys.deployment(), "stopped")
        if reason:
            said = ("HSET", *said[1:], reason)
        await self._functions.run(said)

    async def memory(self) -> tuple[int, int]:
        """Return the bytes that the store uses, and the most it may use (0: no bound)."""
        text = (await self._functions.run(("INFO", "memory"))).decode()
        info = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        return int(info["used_memory"]), int(info.get("maxmemory", 0))

    async def reconnect(self) -> None:
        """Drop the connection; the next call makes another, to wherever the URL leads by then."""
        await self._functions.pipeline.drop()

    async def load_functions(self) -> None:
        """Load the library unless it is there."""
        await self._functions.load()

    async def states(self, shards: Sequence[int]) -> dict[int, ShardState]:
        """Return the status of each of these shards."""
        of = [key for shard in shards for key in (keys.stream(shard), keys.epoch(shard))]
        found = await self._functions.call("standing", of, ())
        return {
            shard: ShardState(bool(is_open), int(epoch), position(last))
            for shard, (is_open, epoch, last) in zip(shards, found, strict=True)
        }

    async def open(self, epochs: Mapping[int, int]) -> None:
        """Open shards on the current server, each at its epoch."""
        of = [keys.epoch(shard) for shard in epochs]
        if of:
            await self._functions.call("open", of, tuple(epochs.values()))

    async def close(self, shards: Sequence[int]) -> None:
        """Close shards: nothing is decided in them until they are opened again."""
        await self._functions.run(("DEL", *(keys.epoch(shard) for shard in shards)))

    async def lock(self, shards: Sequence[int], holder: str) -> list[int]:
        """Take, or prolong, the right to open these shards; return those it was taken of."""
        of = [keys.lock(shard) for shard in shards]
        taken = await self._functions.call("lock", of, (holder, LOCK_MS))
        return [shards[i - 1] for i in taken]

    async def unlock(self, shards: Sequence[int], holder: str) -> None:
        """Delete locks that are the holder's own."""
        for shard in await self.lock(shards, holder):
            await self._functions.run(("DEL", keys.lock(shard)))

    async def wipe(self, shards: Sequence[int]) -> None:
        """Remove everything of these closed shards but their locks and offered records."""
        wanted, cursor = set(shards), b"0"
        kept = {key(shard) for shard in shards for key in (keys.lock, keys.offers)}
        while True:
            cursor, found = await self._functions.run(("SCAN", cursor, "COUNT", SCANNED_AT_A_TIME))
            gone = [
                key
                for key in (raw.decode() for raw in found)
                if keys.shard_in(key) in wanted and key not in kept
            ]
            if gone:
                await self._functions.run(("UNLINK", *gone))
            if cursor == b"0":
                return

    async def restore(self, holder: str, commands: Mapping[int, list[Command]]) -> None:
        """Run commands on closed shards whose locks are the holder's.

        Raises Unavailable where a shard is open, or its lock is not the holder's.
        """
        calls: list[Command] = []
        for shard, of_shard in commands.items():
            of, parts = [keys.lock(shard), keys.epoch(shard)], list[Argument]([holder])
            for command in of_shard:
                parts += (len(command), *command)
                if len(parts) > ARGUMENTS:
                    calls.append(self._functions.command("restore", of, tuple(parts)))
                    parts = [holder]
            if len(parts) > 1:
                calls.append(self._functions.command("restore", of, tuple(parts)))
        for done in await self._functions.run_all(calls):
            if done < 0:
                raise Unavailable("store_unavailable", "somebody else opens the shards")

    async def offer(self, offered: Sequence[StreamRecord]) -> None:
        """Offer acknowledged records of closed shards."""
        by_shard: dict[int, list[bytes]] = {}
        for record in offered:
            by_shard.setdefault(record.shard, []).append(_pack(record))
        calls = [
            self._functions.command(
                "offer",
                [keys.offers(shard), keys.epoch(shard)],
                (OFFERS_MS, *packed[at : at + AT_A_TIME]),
            )
            for shard, packed in by_shard.items()
            for at in range(0, len(packed), AT_A_TIME)
        ]
        if calls:
            await self._functions.run_all(calls)

    async def offers(self, shards: Sequence[int]) -> list[StreamRecord]:
        """Return the records that were offered for these shards."""
        calls: list[Command] = [("LRANGE", keys.offers(shard), 0, -1) for shard in shards]
        found = await self._functions.run_all(calls)
        return [_record.decode(packed) for of_shard in found for packed in of_shard]

    async def drop_offers(self, shards: Sequence[int]) -> None:
        """Delete the offered records."""
        await self._functions.run(("UNLINK", *(keys.offers(shard) for shard in shards)))

    async def backlog(self) -> int:
        """Count the records in the streams: those the ledger does not have, and few more."""
        of = [keys.stream(shard) for shard in range(keys.SHARDS)]
        return int(await self._functions.call("backlog", of, ()))

    async def versions(self, of: Sequence[tuple[int, Version]]) -> list[int]:
        """Return the numbers at which these versions are fenced; 0 where one is not."""
        if not of:
            return []
        names = (keys.version(shard, version) for shard, version in of)
        return [int(value or 0) for value in await self._functions.run(("MGET", *names))]
