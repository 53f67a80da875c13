"""Calls of a running gateway by commands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gateway.client import Problem, Spendgate
from gateway.errors import OperatorError

ADDRESS = "http://127.0.0.1:8080"
Url = Annotated[str, typer.Option(envvar="SPENDGATE_URL", help="where the gateway is")]
Key = Annotated[str, typer.Option(envvar="SPENDGATE_KEY", help="a credential of scope risk")]


@contextmanager
def faults(url: str) -> Iterator[None]:
    """Turn a refused call, or a missing gateway, into an OperatorError."""
    try:
        yield
    except Problem as problem:
        raise OperatorError("refused", str(problem)) from None
    except (OSError, TimeoutError) as error:
        raise OperatorError("no_gateway", f"{url} does not answer: {error}") from None


def call(
    url: str, key: str, path: str, body: dict[str, Any] | None = None, method: str = "POST"
) -> dict[str, Any]:
    """One call, and what was answered. Raises OperatorError."""

    async def made() -> dict[str, Any]:
        async with Spendgate(url, key, timeout_s=120) as gateway:
            found: dict[str, Any] = await gateway.call(method, path, body)
            return found

    with faults(url), Console(stderr=True).status(f"{url} is working on it"):
        return asyncio.run(made())


def text_of(file: Path) -> str:
    """A file's text. Raises OperatorError."""
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise OperatorError("no_file", f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise OperatorError("invalid_file", f"{file}: {error}") from None
