"""Remove old days of the decision log, after an export; charges and postings stay for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sqlalchemy import and_, delete, func, insert, inspect, select, table, text
from sqlalchemy.exc import InterfaceError, OperationalError

from gateway.errors import OperatorError, Unavailable
from gateway.ledger import schema as t
from gateway.ledger.days import create_view, date_of, day_of, table_of
from gateway.ledger.reading import Reading

ROWS_AT_A_TIME = 20_000


class Pruner(Reading):
    """Days of a ledger's decision log: list them, export one, remove old ones."""

    async def days(self) -> list[int]:
        """Return the days that have records, counted since 1970, oldest first."""
        async with self._engine.connect() as c:
            names = await c.run_sync(lambda sync: inspect(sync).get_table_names())
        return sorted(day_of(name) for name in names if name.startswith("records_"))

    async def prune(self, before_day: int, export_to: Path | None, now_ms: int) -> dict[int, int]:
        """Remove the days before `before_day` and return: day → number of records.

        With `export_to`, each day is exported to that directory first. The first day whose records
        are not all in the stored sums and the saved hot state ends the removal: it and the later
        days stay for now. Raises Unavailable, and OperatorError if pyarrow is missing.
        """
        done = {}
        for day in await self.days():
            if day >= before_day or not await self._is_settled(day):
                break
            exported = "" if export_to is None else str(await self.export(day, export_to))
            done[day] = await self._remove(day, exported, now_ms)
        return done

    async def _is_settled(self, day: int) -> bool:
        last = select(func.max(t.records.c.row)).where(t.records.c.day == day).scalar_subquery()
        kept = (select(of.c.row).scalar_subquery() for of in (t.check_state, t.hot_state))
        query = select(last, *kept)
        ((row, checked, hot),) = await self._all(query)
        return row is None or row < min(checked, hot)

    async def export(self, day: int, directory: Path) -> Path:
        """Write a day's records with their terms to a Parquet file; return its path.

        Raises OperatorError if pyarrow is missing.
        """
        try:
            from gateway.ledger.parquet import DayFile  # noqa: PLC0415  only exporting needs pyarrow
        except ImportError:
            raise OperatorError(
                "no_pyarrow", "exporting needs pyarrow: pip install 'spendgate[export]'"
            ) from None
        path = directory / f"records-{date_of(day)}.parquet"
        file = await asyncio.to_thread(DayFile, path)
        async for rows in self._rows_of(day):
            await asyncio.to_thread(file.write, rows)
        await asyncio.to_thread(file.close)
        return path

    async def _rows_of(self, day: int) -> AsyncIterator[list[Any]]:
        r, terms = t.records.c, t.terms.c
        same = and_(terms.day == r.day, terms.id == r.terms)
        columns = [terms.body if column.name == "terms" else column for column in r]
        query = select(*columns).select_from(t.records.outerjoin(t.terms, same))
        after = -1
        while True:
            of_day = query.where(r.day == day, r.row > after).order_by(r.row)
            rows = [tuple(row) for row in await self._all(of_day.limit(ROWS_AT_A_TIME))]
            if not rows:
                return
            yield rows
            after = rows[-1][0]

    async def _remove(self, day: int, exported_to: str, now_ms: int) -> int:
        left = [other for other in await self.days() if other != day]
        try:
            async with self._engine.begin() as c:
                await c.execute(delete(t.terms).where(t.terms.c.day == day))
                of_day = select(func.count()).select_from(table(table_of(day)))
                count = int(await c.scalar(of_day) or 0)
                about = {"rows": count, "at_ms": now_ms, "exported_to": exported_to}
                await c.execute(insert(t.pruned).values(day=day, **about))
                is_sqlite = self._engine.dialect.name == "sqlite"
                if is_sqlite:
                    await c.execute(text("DROP VIEW records"))
                await c.execute(text(f"DROP TABLE {table_of(day)}"))
                if is_sqlite:
                    await c.execute(text(create_view(left)))
        except (OperationalError, InterfaceError, OSError) as error:
            raise Unavailable("ledger_unavailable", "the ledger does not answer") from error
        return count
