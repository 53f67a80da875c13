"""Every setting in one table: its name, its default, what it means."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from gateway.errors import OperatorError

UNSCORED = ("allow", "challenge", "block")
DURABILITIES = ("memory", "fsync", "replica", "ledger")


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Settings:
    """One deployment's settings. Each is read from SPENDGATE_<NAME> and may be a CLI option."""

    host: str = _setting("127.0.0.1", "address to listen on")
    port: int = _setting(8080, "port to listen on; 0 takes a free one")
    workers: int = _setting(1, "worker processes that share the port")
    data_dir: str = _setting(
        "var/spendgate", "where the embedded store and SQLite keep their files"
    )
    store_url: str = _setting(
        "", "redis://, rediss:// or unix:// of a store; empty: embedded Valkey"
    )
    ledger_url: str = _setting("", "sqlite:/// or postgresql:// of the ledger; empty: in data_dir")
    catalog_url: str = _setting(
        "", "sqlite:/// or postgresql:// of the catalog; empty: in data_dir"
    )
    durability: str = _setting(
        "fsync", "what must have a decision before it is told: memory, fsync, replica or ledger"
    )
    admin_key: str = _setting("", "the first credential, with all scopes; empty: none")
    decision_deadline_ms: int = _setting(
        50, "how long the store may be silent before an authorize is answered without it"
    )
    queue_target_ms: int = _setting(
        0, "wait for the store that is aimed at; 0: four times the store's own, at least 10"
    )
    queue_deadline_ms: int = _setting(
        1000, "how long a decision may wait for a store that is busy and does answer"
    )
    open_shares: int = _setting(
        0, "workers of all gateways that share what an org may spend without the store; 0: workers"
    )
    store_deadline_ms: int = _setting(1000, "how long any other call waits for the store")
    authorize_kept_s: int = _setting(
        600, "how long outcomes of authorize and hold calls are kept: 0.5 GB a million"
    )
    admin_kept_s: int = _setting(86_400, "how long outcomes of grants and adjustments are kept")
    ended_hold_kept_s: int = _setting(
        600, "how long an ended hold answers from the store: 0.4 GB a million"
    )
    late_capture_s: int = _setting(
        3600, "how long an expired hold can be captured late: 0.5 GB a million"
    )
    profile_cache: int = _setting(5000, "orgs whose profile a worker keeps in memory")
    backlog_bound: int = _setting(
        200_000, "records that may wait for the ledger (0.9 KB each); at more, requests are refused"
    )
    sweep_ms: int = _setting(200, "pause between sweeps for expired holds and grants")
    writer_ms: int = _setting(100, "pause between batches of the ledger's writer")
    keep_records_days: int = _setting(
        0,
        "days the decision log is kept in SQL, at least 2 (1.4 GB a million); 0: for ever",
    )
    export_dir: str = _setting(
        "", "where a day of the decision log goes as Parquet before it is removed; empty: nowhere"
    )
    reconcile_orgs_per_s: int = _setting(
        2, "orgs a second whose hot state is compared with the ledger, all the time"
    )
    rules_most_stopped_percent: int = _setting(
        5, "of a day's requests or money that a rule set may stop and be activated without force"
    )
    rules_two_people: int = _setting(
        0, "1: whoever handed a rule set in needs somebody else to activate it"
    )
    unscored: str = _setting(
        "allow", "what becomes of requests while the model cannot be read: allow, challenge, block"
    )
    backtest_rows: int = _setting(
        5_000_000, "records that a backtest over http looks at, the newest of its span"
    )
    body_timeout_s: int = _setting(10, "how long a request's body may take to arrive")
    idle_timeout_s: int = _setting(30, "how long a connection may stay without a whole request")
    max_connections: int = _setting(20_000, "connections a worker keeps; more are turned away")

    def __post_init__(self) -> None:
        if self.unscored not in UNSCORED:
            name = environment_name("unscored")
            raise OperatorError(
                "bad_setting", f"{name} must be one of {', '.join(UNSCORED)}, not {self.unscored!r}"
            )
        if self.durability not in DURABILITIES:
            raise OperatorError(
                "bad_setting",
                f"{environment_name('durability')} must be one of {', '.join(DURABILITIES)},"
                f" not {self.durability!r}",
            )

        if self.keep_records_days == 1 or self.keep_records_days < 0:
            name = environment_name("keep_records_days")
            raise OperatorError("bad_setting", f"{name} must be 0 or at least 2: a store is rebuilt"
                                " with the kept outcomes of a day")  # fmt: skip

    @property
    def directory(self) -> Path:
        """The data directory."""
        return Path(self.data_dir)

    @property
    def metrics(self) -> Path:
        """Where processes leave their counts for each other."""
        return self.directory / "metrics"

    def sql_url(self, room: str) -> str:
        """The database of the catalog or the ledger."""
        given = str(getattr(self, f"{room}_url"))
        return given or f"sqlite:///{self.directory.resolve() / room}.db"


def environment_name(name: str) -> str:
    """The environment variable of a setting."""
    return f"SPENDGATE_{name.upper()}"


def from_environment(environment: Mapping[str, str] = os.environ, **given: Any) -> Settings:
    """Settings from the environment; what is given and not None goes before it."""
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        text = environment.get(environment_name(setting.name))
        if given.get(setting.name) is not None:
            values[setting.name] = given[setting.name]
        elif text is not None and isinstance(setting.default, int):
            try:
                values[setting.name] = int(text)
            except ValueError:
                name = environment_name(setting.name)
                raise OperatorError(
                    "bad_setting", f"{name} must be a number, not {text!r}"
                ) from None
        elif text is not None:
            values[setting.name] = text
    return Settings(**values)


def table() -> str:
    """The settings as a Markdown table."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for setting in fields(Settings):
        meaning = setting.metadata["meaning"]
        rows.append(f"| `{environment_name(setting.name)}` | `{setting.default!r}` | {meaning} |")
    return "\n".join(rows)
