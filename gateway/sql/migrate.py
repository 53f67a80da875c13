"""Bringing a room's tables to their newest schema, by Alembic."""

from __future__ import annotations

from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine


async def migrate(engine: AsyncEngine, room: str) -> None:
    """Bring the database of a room (`catalog` or `ledger`) to the newest schema."""
    config = Config()
    config.set_main_option("script_location", str(files("gateway.sql").joinpath("migrations")))
    config.set_main_option("path_separator", "newline")
    versions = files(f"gateway.{room}").joinpath("migrations")
    config.set_main_option("version_locations", str(versions).replace("%", "%%"))
    config.attributes["version_table"] = f"{room}_schema_version"

    def upgrade(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with engine.begin() as connection:
        await connection.run_sync(upgrade)
