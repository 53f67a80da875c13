"""The data directory: its owner's alone, checked and mended at each start."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from gateway.errors import OperatorError

PRIVATE_DIRECTORY, PRIVATE_FILE = 0o700, 0o600
UMASK = 0o077
"""Set at start and inherited by every child: only the owner can read what they create."""


def prepare(directory: Path) -> None:
    """Make a directory its owner's alone, with all that is in it. Raises OperatorError."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIRECTORY)
        if directory.stat().st_uid != os.geteuid():
            detail = f"{directory} belongs to another user: run spendgate as its owner"
            raise OperatorError("bad_data_dir", detail)
        _make_private(directory)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except (FileExistsError, NotADirectoryError):
        detail = f"{directory} is a file: SPENDGATE_DATA_DIR names a directory"
        raise OperatorError("bad_data_dir", detail) from None
    except OSError as error:
        detail = f"cannot write to the data directory {directory}: {error.strerror}"
        raise OperatorError("bad_data_dir", detail) from None


def _make_private(directory: Path) -> None:
    """Take from everybody else what earlier versions left readable."""
    directory.chmod(PRIVATE_DIRECTORY)
    for root, directories, files in os.walk(directory):
        for name in directories:
            _set_mode(os.path.join(root, name), PRIVATE_DIRECTORY)
        for name in files:
            _set_mode(os.path.join(root, name), PRIVATE_FILE)


def _set_mode(path: str, mode: int) -> None:
    try:
        if os.lstat(path).st_mode & 0o777 != mode and not os.path.islink(path):
            os.chmod(path, mode)
    except FileNotFoundError:
        # A file of another process that was gone in between.
        return
