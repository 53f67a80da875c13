"""Unit tests open no socket."""

from __future__ import annotations

import socket
from typing import Any, NoReturn

import pytest


@pytest.fixture(autouse=True)
def no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects or listens in a unit test is told so."""

    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("unit tests open no socket")

    for step in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, step, refuse)
