"""`spendgate models`: train a fraud model, and the models of a gateway that runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gateway.catalog.catalog import Catalog
from gateway.catalog.labels import Labels
from gateway.catalog.lists import Lists
from gateway.catalog.policy_log import RuleSets
from gateway.cli.api_client import ADDRESS, Key, Url, call, text_of
from gateway.cli.demo.data import trace
from gateway.cli.options import DataDir, LedgerUrl, settings_of
from gateway.cli.process import say
from gateway.cli.times import Since, Until, span_of
from gateway.core.money import shown
from gateway.core.windows import DAY_MS
from gateway.errors import OperatorError
from gateway.flows.analysis.training_set import Sources, TrainingRows, Wanted, training_rows
from gateway.ledger.history import History
from gateway.settings import Settings
from gateway.sql.engine import open_engine
from gateway.wiring import pseudonym_key
from models.errors import ModelError
from models.features import FEATURES

app = typer.Typer(help="Fraud models: train them, and say which one scores.", no_args_is_help=True)
MODELS = "/v1/models"
WARM_DAYS = 10
"""So many days of a world only fill the windows."""
ModelId = Annotated[str, typer.Argument(help="the id that submit said")]


@app.command()
def train(
    demo: Annotated[bool, typer.Option(help="on a simulated world, in minutes")] = False,
    table: Annotated[
        Path | None,
        typer.Option(help="an .npz of features, vectors, at_ms, amounts, told_ms; ids if any"),
    ] = None,
    out: Annotated[Path, typer.Option(help="where model, card, plots and page go")] = Path(
        "var/model"
    ),
    days: Annotated[int, typer.Option(help="how far back; of a simulated world its length")] = 60,
    delay_days: Annotated[int, typer.Option(help="how long labels take to come")] = 7,
    false_stop_usd: Annotated[float, typer.Option(help="what a wrong stop costs")] = 0.25,
    seed: Annotated[int, typer.Option(help="of a simulated world")] = 1,
    data_dir: DataDir = None,
    ledger_url: LedgerUrl = None,
) -> None:
    """Train on the decision log and its labels, on a table, or on a simulated world (--demo)."""
    making = _command()
    with Console(stderr=True).status("collecting rows") as status:
        try:
            if demo:
                rows, skip_ms = making.simulated(_tokens(), days, seed), WARM_DAYS * DAY_MS
            elif table is not None:
                rows, skip_ms = making.loaded(table), 0
            else:
                settings = settings_of(data_dir, None, ledger_url)

                def progress(done: int, of: int) -> None:
                    status.update(f"read {done:,} of {of:,} records")

                found = asyncio.run(_collected(settings, days, progress))
                rows, skip_ms = making.collected(found), 0
            say(f"{len(rows.at_ms):,} requests, {int((rows.told_ms > 0).sum()):,} told to be fraud")
            status.update("training")
            costs = making.Costs(stopped_micros=round(false_stop_usd * 1_000_000))
            spans = (delay_days * DAY_MS, skip_ms)
            figures, text = making.trained(rows, spans, costs, out)
        except ModelError as error:
            raise OperatorError("no_model", str(error)) from None
    (out / "model.json").write_text(text, "utf-8")
    for name, value in figures.model.items():
        say(f"{name:<18} {value:.4f}   logistic regression {figures.baseline[name]:.4f}")
    for name, (share, count) in figures.recall.items():
        say(f"{name:<18} {share:.1%} of {count:,} requests stopped")
    say(f"good requests      {figures.stopped_good:.3%} stopped")
    say(f"written to {out}: model.json, card.md, report.html and plots")


def _command() -> Any:
    """Import the training command, which needs scikit-learn and matplotlib."""
    try:
        from models import train_command  # noqa: PLC0415  a server does without
    except ImportError as error:
        detail = f"{error.name} is missing: pip install 'spendgate[server,train]'"
        raise OperatorError("not_installed", detail) from None
    return train_command


def _tokens() -> list[int]:
    return [one.input_tokens + one.output_tokens for one in trace()]


async def _collected(
    settings: Settings, days: int, progress: Callable[[int, int], None]
) -> TrainingRows:
    ledger = open_engine(settings.sql_url("ledger"))
    catalog = open_engine(settings.sql_url("catalog"))
    try:
        secret = await pseudonym_key.load(settings, Catalog(catalog))
        now_ms = time.time_ns() // 1_000_000
        sources = Sources(
            History(ledger), Labels(catalog), RuleSets(catalog), Lists(catalog), secret
        )
        names = tuple(spec.name for spec in FEATURES)
        return await training_rows(sources, Wanted(names, now_ms - days * DAY_MS), progress)
    finally:
        await ledger.dispose()
        await catalog.dispose()


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="a model.json")], url: Url = ADDRESS, key: Key = ""
) -> None:
    """Hand a model in as a draft, and say its id."""
    say(call(url, key, MODELS, {"text": text_of(file)})["id"])


@app.command("list")
def show(url: Url = ADDRESS, key: Key = "") -> None:
    """Say which models there are, and what they do."""
    for model in call(url, key, MODELS, method="GET")["models"]:
        cuts = ", ".join(f"{name} from {at:.3f}" for name, at in model["thresholds"].items())
        say(f"{model['id']} {model['mode']:<8} {model['created_at']} {cuts}")


@app.command()
def activate(
    model: ModelId,
    mode: Annotated[str, typer.Option(help="active, shadow or retired")] = "active",
    note: Annotated[str | None, typer.Option(help="why")] = None,
    force: Annotated[bool, typer.Option(help="whatever it would stop; needs a note")] = False,
    url: Url = ADDRESS,
    key: Key = "",
) -> None:
    """Set what a model does, and say which one scores then."""
    body = {"mode": mode, "note": note, "force": force}
    _say(call(url, key, f"{MODELS}/{model}/activate", body))


@app.command()
def report(
    model: ModelId, since: Since = None, until: Until = None, url: Url = ADDRESS, key: Key = ""
) -> None:
    """Say what a model makes of logged requests beside the one that scores, the last day."""
    found = call(url, key, f"{MODELS}/{model}/report{span_of(since, until)}", method="GET")
    say(f"{found['requests']} requests, {found['fraud']} labelled fraud, {found['good']} good")
    for one in found["models"]:
        drift = "" if one["score_drift"] is None else f", score drift {one['score_drift']:.2f}"
        precision = one["average_precision"]
        known = "" if precision is None else f", average precision {precision:.3f}"
        say(f"{one['model']}: mean score {one['mean_score']:.4f}{known}{drift}")
        for action, reached in one["reached"].items():
            say(
                f"  {action} from {one['thresholds'][action]:.3f}: {reached['requests']} requests,"
                f" {shown(reached['amount_micros'], '')}; fraud {reached['fraud']},"
                f" good {reached['good']}"
            )


@app.command()
def rollback(url: Url = ADDRESS, key: Key = "") -> None:
    """Let the model score again that did before."""
    _say(call(url, key, f"{MODELS}/rollback", {}))


def _say(now: dict[str, Any]) -> None:
    say(f"active {now['champion']}" if now["champion"] else "no model scores")
    for model in now["challengers"]:
        say(f"shadow {model}")
