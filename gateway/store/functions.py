"""Call the functions of a library over a pipeline."""

from __future__ import annotations

from typing import Any

import hiredis

from gateway.errors import Bug, Unavailable
from gateway.store.library import Library
from gateway.store.pipeline import Argument, Pipeline

Command = tuple[Argument, ...]

REFUSALS = ("LOADING", "OOM", "READONLY", "MASTERDOWN", "MISCONF", "CLUSTERDOWN", "NOREPLICAS")


class Functions:
    """The functions of a library on one store; they are loaded where they are missing."""

    def __init__(self, pipeline: Pipeline, library: Library) -> None:
        self.pipeline = pipeline
        self._library = library
        self.names = library.names

    async def load(self) -> None:
        """Load the library unless it is there; that of another version stays beside it."""
        try:
            await self.pipeline.call("FUNCTION", "LOAD", self._library.source)
        except hiredis.ReplyError as error:
            if "already exists" not in str(error):
                raise _fault(error) from error

    def command(self, name: str, keys: list[str], args: Command) -> Command:
        """Make the command that calls a function."""
        return ("FCALL", self.names[name], len(keys), *keys, *args)

    async def call(self, name: str, keys: list[str], args: Command, *, urgent: bool = False) -> Any:
        """Call a function.

        Raises Unavailable, or Bug where the function failed.
        """
        command = self.command(name, keys, args)
        run = self.pipeline.call_urgent if urgent else self.pipeline.call
        try:
            return await run(*command)
        except hiredis.ReplyError as error:
            if "Function not found" not in str(error):
                raise _fault(error) from error
        await self.load()
        return await self.run(command)

    async def run(self, command: Command) -> Any:
        """Run any command; raises as `call` does."""
        try:
            return await self.pipeline.call(*command)
        except hiredis.ReplyError as error:
            raise _fault(error) from error

    async def run_all(self, commands: list[Command]) -> list[Any]:
        """Run commands in order; return their replies in that order.

        Raises as `call` does.
        """
        try:
            return await self.pipeline.call_many(commands)
        except hiredis.ReplyError as error:
            if "Function not found" not in str(error):
                raise _fault(error) from error
        await self.load()
        try:
            return await self.pipeline.call_many(commands)
        except hiredis.ReplyError as error:
            raise _fault(error) from error


def _fault(error: hiredis.ReplyError) -> Exception:
    text = str(error)
    if text.startswith(REFUSALS):
        return Unavailable("store_unavailable", f"the store refuses to work: {text}")
    return Bug(f"a store function failed: {text}")
