"""Compiling in another process: a long source would keep this one from answering meanwhile."""

from __future__ import annotations

import marshal
import subprocess
import sys
from types import CodeType

from gateway.errors import Bug
from rules.generate import compiled

SHORT = 2_000
"""Characters that are compiled here: in well under a millisecond."""
THREADS_GIVE_WAY_S = 0.0005
"""How long a thread may keep the loop waiting, for all else that is done beside it."""
_COMMAND = (
    "import marshal, sys;"
    "sys.stdout.buffer.write(marshal.dumps(compile(sys.stdin.read(), '<rules>', 'exec')))"
)


def compile_elsewhere(source: str) -> CodeType:
    """The code of a source, compiled by another process of this Python. For threads: it blocks."""
    if len(source) < SHORT:
        return compiled(source)
    command = [sys.executable, "-I", "-S", "-c", _COMMAND]
    done = subprocess.run(  # noqa: S603  our own command
        command, input=source.encode(), capture_output=True, check=False
    )
    if done.returncode:
        raise Bug(f"rules could not be compiled: {done.stderr.decode(errors='replace')[-300:]}")
    code = marshal.loads(done.stdout)  # noqa: S302  what our own process wrote
    assert isinstance(code, CodeType)
    return code
