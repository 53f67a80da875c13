"""The function library: Lua files, includes first, under a name that carries their digest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from importlib.resources import files

INCLUDES = (
    "status",
    "clock",
    "keys",
    "counters",
    "records",
    "signals",
    "velocity",
    "holds",
    "settle",
)
FUNCTIONS = (
    "authorize",
    "finish",
    "due",
    "expire",
    "grant",
    "void",
    "adjust",
    "fence",
    "open",
    "standing",
    "lock",
    "restore",
    "offer",
    "backlog",
    "warm",
    "follow",
    "event",
    "snapshot",
)
FIELDS = ("name", "keys", "args", "flags", "meaning")


@dataclass(frozen=True)
class Header:
    """The contract that a Lua function states in its first lines."""

    name: str
    keys: str
    args: str
    flags: str
    meaning: str


@dataclass(frozen=True)
class Library:
    """A library as FUNCTION LOAD takes it, and the names of its functions there."""

    name: str
    source: str
    names: dict[str, str]


def read(path: str) -> str:
    """Read a Lua file of this package."""
    return files("gateway.store").joinpath("lua", *path.split("/")).read_text("utf-8")


def header(source: str) -> Header:
    """Parse a function's header contract.

    Raises ValueError when a field is missing.
    """
    found: dict[str, str] = {}
    for line in source.splitlines():
        field, colon, value = line.removeprefix("-- ").partition(":")
        if not line.startswith("-- ") or not colon or field not in FIELDS:
            break
        found[field] = value.strip()
    missing = [field for field in FIELDS if field not in found]
    if missing:
        raise ValueError(f"a Lua function's header lacks {', '.join(missing)}")
    return Header(**found)


def _body(sources: dict[str, str]) -> str:
    # Locals of one function file would hide another's: each lives in a block of its own.
    parts = [sources[f"include/{name}"] for name in INCLUDES]
    for name in FUNCTIONS:
        source = sources[name]
        flags = ", ".join(f"'{flag}'" for flag in header(source).flags.split())
        parts.append(
            f"do\n{source}\nserver.register_function{{function_name='{name}_@', "
            f"callback={name}, flags={{{flags}}}}}\nend"
        )
    return "\n".join(parts)


@lru_cache(maxsize=4)
def build(clock: str | None = None) -> Library:
    """Build the library; its functions' names carry a digest, so two versions run side by side.

    `clock` replaces include/clock.lua under the same names: tests shift the time with it.
    """
    paths = [f"include/{name}" for name in INCLUDES] + list(FUNCTIONS)
    sources = {path: read(f"{path}.lua") for path in paths}
    digest = blake2b(_body(sources).encode(), digest_size=4).hexdigest()
    if clock is not None:
        sources["include/clock"] = clock
    name = f"spendgate_{digest}"
    body = _body(sources).replace("_@'", f"_{digest}'")
    names = {function: f"{function}_{digest}" for function in FUNCTIONS}
    return Library(name, f"#!lua name={name}\nlocal server = redis\n{body}\n", names)
