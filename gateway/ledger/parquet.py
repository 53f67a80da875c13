"""Export of a day of the decision log to a Parquet file; the only module that needs pyarrow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet
from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary

from gateway.ledger import schema as t

KINDS = {
    BigInteger: pyarrow.int64(),
    Integer: pyarrow.int64(),
    Boolean: pyarrow.bool_(),
    LargeBinary: pyarrow.binary(),
}


class DayFile:
    """A Parquet file that appears under its name only when it is complete and synced.

    Columns are those of `records`; `terms` has the terms themselves rather than their number.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._fresh = path, path.with_suffix(".new")
        kinds = {c.name: KINDS.get(type(c.type), pyarrow.string()) for c in t.records.c}
        self._schema = pyarrow.schema([*(kinds | {"terms": pyarrow.binary()}).items()])
        self._writer = parquet.ParquetWriter(self._fresh, self._schema, compression="zstd")

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows, their values in the order of the columns."""
        columns = dict(zip(self._schema.names, zip(*rows, strict=True), strict=True))
        self._writer.write_table(pyarrow.table(columns, schema=self._schema))

    def close(self) -> None:
        """Finish the file: sync it, then give it its name."""
        self._writer.close()
        with self._fresh.open("rb") as file:
            os.fsync(file.fileno())
        self._fresh.replace(self._path)
