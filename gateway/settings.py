"""Every setting in one table: its name, its default, what it may be, what it means."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from gateway.errors import OperatorError

UNSCORED = ("allow", "challenge", "block")
DURABILITIES = ("memory", "fsync", "replica", "ledger")
PREFIX = "SPENDGATE_"
OF_CLIENTS = ("SPENDGATE_URL", "SPENDGATE_KEY")
"""Read by commands that call a gateway; a server that inherits them has no use for them."""
LEAST_KEY = 16
"""Characters of an admin key that others than this machine can try."""
YEAR_S = 366 * 86_400
_words = re.compile(r"[\x21-\x7e]+").fullmatch


def _setting(
    default: Any,
    meaning: str,
    bounds: tuple[int, int] | None = None,
    one_of: tuple[str, ...] = (),
) -> Any:
    found = {"meaning": meaning, "bounds": bounds, "one_of": one_of}
    return field(default=default, metadata=found)


@dataclass(frozen=True)
class Settings:
    """One deployment's settings. Each is read from SPENDGATE_<NAME> and may be a CLI option.

    Raises OperatorError, which names the setting and what it takes.
    """

    host: str = _setting("127.0.0.1", "address to listen on")
    port: int = _setting(8080, "port to listen on; 0 takes a free one", (0, 65_535))
    workers: int = _setting(1, "worker processes that share the port", (1, 256))
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
        "fsync", "where a decision must be stored before it is acknowledged", one_of=DURABILITIES
    )
    admin_key: str = _setting("", "the first credential, with all scopes; empty: none")
    decision_deadline_ms: int = _setting(
        50, "how long the store may be silent before an authorize is answered without it",
        (5, 60_000),
    )  # fmt: skip
    queue_target_ms: int = _setting(
        0, "wait for the store above which requests are shed; 0: 4 times its own time, at least 10",
        (0, 60_000),
    )  # fmt: skip
    queue_deadline_ms: int = _setting(
        1000, "how long a decision may wait for a store that is busy but answers",
        (10, 600_000),
    )  # fmt: skip
    open_shares: int = _setting(
        0, "workers of all gateways that divide an org's stand-in amount; 0: SPENDGATE_WORKERS",
        (0, 100_000),
    )  # fmt: skip
    store_deadline_ms: int = _setting(
        1000, "how long the store may be silent before its connection is dropped", (10, 600_000)
    )
    authorize_kept_s: int = _setting(
        600, "how long authorize and hold calls can be retried; 0.5 GB a million",
        (1, 30 * 86_400),
    )  # fmt: skip
    admin_kept_s: int = _setting(
        86_400, "how long grants and adjustments can be retried", (1, 30 * 86_400)
    )
    ended_hold_kept_s: int = _setting(
        600, "how long an ended hold answers from the store: 0.4 GB a million", (1, 30 * 86_400)
    )
    late_capture_s: int = _setting(
        3600, "how long an expired hold can be captured late: 0.5 GB a million", (1, 30 * 86_400)
    )
    profile_cache: int = _setting(
        5000, "orgs whose profile a worker keeps in memory", (1, 10_000_000)
    )
    backlog_bound: int = _setting(
        200_000, "records that may wait for the ledger (0.9 KB each); more deny everything",
        (1, 1_000_000_000),
    )  # fmt: skip
    sweep_ms: int = _setting(
        200, "pause between sweeps for expired holds and grants", (10, 86_400_000)
    )
    writer_ms: int = _setting(100, "pause between batches of the ledger's writer", (0, 60_000))
    keep_records_days: int = _setting(
        0,
        "days the decision log is kept in SQL, at least 2 (1.4 GB a million); 0: for ever",
        (0, 36_500),
    )
    export_dir: str = _setting(
        "", "where a day of the decision log goes as Parquet before it is removed; empty: nowhere"
    )
    reconcile_orgs_per_s: int = _setting(
        2, "orgs a second whose hot state is compared with the ledger, all the time", (1, 10_000)
    )
    rules_most_stopped_percent: int = _setting(
        5, "share of a day's requests or money that a change may deny without force", (0, 100)
    )
    rules_two_people: int = _setting(
        0, "1: whoever submitted a rule set needs somebody else to activate it", (0, 1)
    )
    unscored: str = _setting(
        "allow", "what is done with requests while the model cannot be loaded", one_of=UNSCORED
    )
    backtest_rows: int = _setting(
        5_000_000, "records that a backtest over http looks at, the newest of its span",
        (1, 1_000_000_000),
    )  # fmt: skip
    most_limits_at_once: int = _setting(
        64, "caps and rate limits that may apply to one request, the plan's included", (1, 1000)
    )
    most_limits: int = _setting(200, "caps and rate limits of an org's own", (1, 100_000))
    most_members: int = _setting(
        100_000, "projects and users that an org may register, and as many keys", (1, 100_000_000)
    )
    most_list_items: int = _setting(1_000_000, "items of one list", (1, 100_000_000))
    most_rulesets: int = _setting(1000, "rule sets, and as many models", (1, 1_000_000))
    store_memory_mb: int = _setting(
        0, "memory of the embedded store; 0: half of the machine's", (0, 100_000_000)
    )
    trusted_proxies: str = _setting(
        "", "networks of proxies whose X-Forwarded-For counts, separated by commas"
    )
    pseudonym_key_file: str = _setting(
        "", "file of the key that hashes personal data; empty: pseudonym.key in data_dir"
    )
    pseudonym_key_command: str = _setting(
        "", "command that prints that key, from a vault for instance; empty: the file"
    )
    hash_users: int = _setting(
        0, "1: users are known by a hash of their id alone; chosen at the first start", (0, 1)
    )
    body_timeout_s: int = _setting(10, "how long a request's body may take to arrive", (1, 3600))
    idle_timeout_s: int = _setting(
        30, "how long a connection may stay without a whole request", (1, 86_400)
    )
    max_connections: int = _setting(
        20_000, "connections a worker keeps; more are turned away", (1, 10_000_000)
    )

    def __post_init__(self) -> None:
        for setting in fields(self):
            _check(environment_name(setting.name), getattr(self, setting.name), setting.metadata)
        if self.keep_records_days == 1:
            name = environment_name("keep_records_days")
            raise _bad(f"{name} must be 0 or at least 2: a store is rebuilt with a day's outcomes")
        if self.admin_key and not _words(self.admin_key):
            name = environment_name("admin_key")
            raise _bad(f"{name} has a space, a line end or a letter that no header can carry")
        if self.admin_key and len(self.admin_key) < LEAST_KEY and not _is_loopback(self.host):
            name = f"{environment_name('admin_key')} has fewer than {LEAST_KEY} characters"
            detail = f"{name}, and other machines can reach {self.host}: take a longer one"
            raise _bad(f"{detail}, such as `openssl rand -hex 32` makes")

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

    def encode(self) -> str:
        """All settings as one line, secrets included: for a process of our own."""
        return json.dumps(asdict(self))


def _check(name: str, value: Any, metadata: Mapping[str, Any]) -> None:
    bounds, one_of = metadata["bounds"], metadata["one_of"]
    if bounds is not None and not bounds[0] <= value <= bounds[1]:
        raise _bad(f"{name} must be {bounds[0]} to {bounds[1]}, not {value}: {metadata['meaning']}")
    if one_of and value not in one_of:
        raise _bad(f"{name} must be one of {', '.join(one_of)}, not {value!r}")
    if isinstance(value, str) and "\x00" in value:
        raise _bad(f"{name} has a NUL character")


def _bad(detail: str) -> OperatorError:
    return OperatorError("bad_setting", detail)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def redacted(url: str) -> str:
    """A URL as it may be shown: without its password."""
    without = re.sub(r"//.*@", "//***@", url, count=1)
    return re.sub(r"(?i)(pass\w*|secret|token)=[^&]*", r"\1=***", without)


def environment_name(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def from_environment(environment: Mapping[str, str] = os.environ, **given: Any) -> Settings:
    """Settings from the environment; what is given and not None goes before it.

    Raises OperatorError: what is misspelled would silently have no effect.
    """
    known = {environment_name(setting.name) for setting in fields(Settings)}
    for name in environment:
        if name.startswith(PREFIX) and name not in known and name not in OF_CLIENTS:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise _bad(f"there is no setting {name}{hint}")
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        text = environment.get(environment_name(setting.name))
        if given.get(setting.name) is not None:
            values[setting.name] = given[setting.name]
        elif text is not None:
            values[setting.name] = _parsed(environment_name(setting.name), text, setting.default)
    return Settings(**values)


def _parsed(name: str, text: str, default: Any) -> Any:
    if not isinstance(default, int):
        return text
    if not re.fullmatch(r"-?[0-9]{1,18}", text.strip()):
        raise _bad(f"{name} must be a number, not {text!r}")
    return int(text)


def decode(line: str) -> Settings:
    """Settings that `encode` made."""
    return Settings(**json.loads(line))


def table() -> str:
    """The settings as a Markdown table."""
    rows = ["| setting | default | takes | meaning |", "|---|---|---|---|"]
    for setting in fields(Settings):
        meaning, bounds = setting.metadata["meaning"], setting.metadata["bounds"]
        takes = ", ".join(setting.metadata["one_of"]) or "text"
        if bounds is not None:
            takes = f"{bounds[0]} to {bounds[1]}"
        name = environment_name(setting.name)
        rows.append(f"| `{name}` | `{setting.default!r}` | {takes} | {meaning} |")
    return "\n".join(rows)
