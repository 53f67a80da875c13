"""Compile rule sets and models in another process, so that no event loop waits."""

from __future__ import annotations

import json
import marshal
import math
import subprocess
import sys
from collections.abc import Sequence
from types import CodeType

from gateway.errors import Bug
from models.errors import ModelError
from models.serving import Served, unpacked
from rules.generate import compiled

SHORT = 2_000
"""Characters that are compiled here: in well under a millisecond."""
THREADS_GIVE_WAY_S = 0.0005
"""Time in s that a thread may hold the interpreter while the event loop waits."""
PATIENCE_S = 60.0
_RULES = (
    "-I",
    "-S",
    "-c",
    "import marshal, sys;"
    "sys.stdout.buffer.write(marshal.dumps(compile(sys.stdin.read(), '<rules>', 'exec')))",
)
_MODEL = ("-P", "-m", "models.compile_process")
"""Not from the directory that it happens to run in."""


def compile_elsewhere(source: str) -> CodeType:
    """The code of a source, compiled by another process of this Python. For threads: it blocks."""
    if len(source) < SHORT:
        return compiled(source)
    code = marshal.loads(_run("rules", _RULES, source))  # noqa: S302  what our own process wrote
    assert isinstance(code, CodeType)
    return code


def model_elsewhere(text: str) -> Served:
    """A model, read and compiled by another process, proved again here. For threads: it blocks.

    Raises ModelError for what is no model; nothing of it is kept then.
    """
    told = _run("a model", _MODEL, text)
    if told[:1] != b"+":
        raise ModelError(told[1:].decode())
    return unpacked(told[1:])


def explain_elsewhere(text: str, values: Sequence[float]) -> tuple[float, list[float]]:
    """The log-odds of an average request, and what each of these values adds, by a model's text.

    For threads: it blocks. Raises ModelError.
    """
    asked = {"text": text, "values": [None if math.isnan(v) else v for v in values]}
    told = _run("what a model says", (*_MODEL, "explain"), json.dumps(asked))
    if told[:1] != b"+":
        raise ModelError(told[1:].decode())
    average, added = json.loads(told[1:])
    return average, added


def _run(what: str, arguments: tuple[str, ...], text: str) -> bytes:
    source = text.encode("utf-8", "surrogatepass")
    try:
        done = subprocess.run(  # noqa: S603  our own command
            [sys.executable, *arguments],
            input=source,
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        raise Bug(f"{what} took more than {PATIENCE_S:.0f} s") from None
    if done.returncode:
        detail = done.stderr.decode(errors="replace")[-300:]
        raise Bug(f"{what} could not be compiled: {detail}")
    return done.stdout
