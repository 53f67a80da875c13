"""Migrate the tables of a room to their newest schema, with Alembic."""

from __future__ import annotations

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.errors import OperatorError
from gateway.settings import redacted


async def migrate(engine: AsyncEngine, room: str) -> None:
    """Migrate the database of a room (`catalog` or `ledger`). Raises OperatorError."""
    config = Config()
    config.set_main_option("script_location", str(files("gateway.sql").joinpath("migrations")))
    config.set_main_option("path_separator", "newline")
    versions = files(f"gateway.{room}").joinpath("migrations")
    config.set_main_option("version_locations", str(versions).replace("%", "%%"))
    config.attributes["version_table"] = f"{room}_schema_version"

    def upgrade(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    try:
        async with engine.begin() as connection:
            await connection.run_sync(upgrade)
    except (DBAPIError, OSError) as error:
        where = redacted(str(engine.url))
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        detail = f"the {room} at {where} cannot be used: {reason}"
        raise OperatorError(f"{room}_unreachable", detail) from None
    except CommandError as error:
        # A newer version of the gateway has migrated it.
        detail = f"the {room} has a schema that this version does not know: {error}"
        raise OperatorError(f"{room}_too_new", detail) from None
