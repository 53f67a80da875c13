"""`python -m loadtests.run`: a minute of load on a real gateway, and what came of it."""

from __future__ import annotations

import argparse
import csv
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

ROOT = Path(__file__).parents[1]
KEY_NAME = "SPENDGATE_ADMIN_KEY"
SPAWN_S = 5
"""All users are there after this long."""
FINISH_S = 20
"""How long users may take to finish what they began."""
STOP_S = 60
RECONCILE_TIMEOUT_S = 60
FAILURES_SHOWN = 20


def main() -> int:
    """Run it all; 0 if every request, the books and the gateway's end were as they should be."""
    options = read_options()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit("loadtest: stopped"))
    if options.host:
        if KEY_NAME not in os.environ:
            sys.exit(f"loadtest: set {KEY_NAME} to a key of {options.host}")
        return load(options.host.rstrip("/"), options)
    os.environ[KEY_NAME] = secrets.token_hex(16)
    with running_gateway(options.workers) as host:
        return load(host, options)


def read_options() -> argparse.Namespace:
    """Options of the command line; numbers also come from the environment."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.run", description=__doc__)
    seconds = os.environ.get("LOADTEST_SECONDS", "60")
    users = os.environ.get("LOADTEST_USERS", "100")
    parser.add_argument("--seconds", type=int, default=seconds, help="how long (%(default)s)")
    parser.add_argument("--users", type=int, default=users, help="callers (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="of the gateway it starts")
    parser.add_argument("--host", help=f"a running gateway instead; its key in {KEY_NAME}")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "loadtest", help="reports")
    options = parser.parse_args()
    options.out = options.out.resolve()
    return options


@contextmanager
def running_gateway(workers: int) -> Iterator[str]:
    """The address of a gateway of our own, with nothing in it. It must end well."""
    with tempfile.TemporaryDirectory(prefix="spendgate-load-") as directory:
        serve = ["serve", "--port", "0", "--data-dir", directory, "--workers", str(workers)]
        process = subprocess.Popen(  # noqa: S603  our own command and options
            [sys.executable, "-m", "gateway.cli", *serve],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "listening on" not in line:
                sys.exit("loadtest: the gateway did not start")
            yield line.split()[-1]
        finally:
            process.terminate()
            code = process.wait(STOP_S)
        if code:
            sys.exit(f"loadtest: the gateway ended with {code}")


def load(host: str, options: argparse.Namespace) -> int:
    """Load a gateway, check its books and print the summary."""
    out: Path = options.out
    print(f"{options.users} users for {options.seconds} s on {host} …", flush=True)
    code = run_locust(host, options)
    rows = read_rows(out / "load_stats.csv")
    print_rows(rows)
    for row in read_rows(out / "load_failures.csv")[:FAILURES_SHOWN]:
        print(f"FAILED {row['Occurrences']} × {row['Name']}: {row['Error']}")
    is_loaded = code == 0 and any(int(row["Request Count"]) for row in rows)
    if not is_loaded:
        print(f"FAILED locust ended with {code}; its log: {out / 'locust.log'}")
    is_balanced = check_books(host)
    print(f"report: {out / 'report.html'}\n        {out / 'load_stats.csv'}")
    return 0 if is_loaded and is_balanced else 1


def run_locust(host: str, options: argparse.Namespace) -> int:
    """Headless; its exit code is not 0 after any failure."""
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("load*"):
        old.unlink()
    settings = {
        "--locustfile": ROOT / "loadtests" / "locustfile.py",
        "--host": host,
        "--users": options.users,
        "--spawn-rate": max(1, options.users / SPAWN_S),
        "--run-time": f"{options.seconds}s",
        "--stop-timeout": FINISH_S,
        "--csv": out / "load",
        "--html": out / "report.html",
        "--json-file": out / "load",
        "--logfile": out / "locust.log",
    }
    arguments = [str(part) for setting in settings.items() for part in setting]
    return subprocess.run(  # noqa: S603  our own command and options
        [sys.executable, "-m", "locust", "--headless", "--only-summary", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=False,
    ).returncode


def read_rows(path: Path) -> list[dict[str, str]]:
    """One of locust's CSV files; none if locust did not come so far."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def print_rows(rows: list[dict[str, str]]) -> None:
    """A line for every kind of request: how many, how many failed, how fast."""
    print(f"{'':44}{'requests':>9}{'failed':>8}{'per s':>8}{'p50 ms':>8}{'p99 ms':>8}")
    for row in rows:
        print(
            f"{row['Name']:44}{row['Request Count']:>9}{row['Failure Count']:>8}"
            f"{float(row['Requests/s']):8.1f}{row['50%']:>8}{row['99%']:>8}"
        )


def check_books(host: str) -> bool:
    """Whether hot balances, ledger and decisions explain each other."""
    try:
        answer = requests.get(
            f"{host}/v1/ledger/reconcile",
            headers={"Authorization": f"Bearer {os.environ[KEY_NAME]}"},
            timeout=RECONCILE_TIMEOUT_S,
        )
        answer.raise_for_status()
    except requests.RequestException as error:
        print(f"FAILED books: {error}")
        return False
    books = answer.json()
    print(f"books: {'reconciled' if books['ok'] else 'FAILED'} {books}")
    return bool(books["ok"])


if __name__ == "__main__":
    sys.exit(main())
