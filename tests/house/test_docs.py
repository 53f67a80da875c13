"""Docs fail the build when they lie.

`python -m tests.house.test_docs` writes the generated tables anew.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import settings
from gateway.core.reasons import Reason
from gateway.errors import PROBLEMS
from gateway.http.routes import ROUTES
from gateway.observe import metrics
from models import features
from rules import schema
from tests.house.source import ROOT, python_files, shown, tree
from tests.unit.rules import mistakes

HOUSE_BOOK = ROOT / "gateway/README.md"
"""The living copy of the architecture; the generated tables stand in it."""

RULE_BOOK = ROOT / "rules/README.md"
MODEL_BOOK = ROOT / "models" / "README.md"
NOT_OURS = {".venv", "var", "node_modules", "build", ".git"}
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|!\[[^\]]*\]\(([^)\s]+)\)")
OUTSIDE = ("http://", "https://", "mailto:")


def by_rank() -> list[Reason]:
    """All reasons, the weightiest first."""
    return sorted(Reason, key=lambda reason: reason.rank)


def reasons_table() -> str:
    """The reasons as a Markdown table, the weightiest first."""
    rows = ["| reason | status hint | may pass later |", "|---|---|---|"]
    for reason in by_rank():
        later = "yes" if reason.is_retryable else "no"
        rows.append(f"| `{reason.name}` | {reason.status_hint} | {later} |")
    return "\n".join(rows)


def problems_table() -> str:
    """The codes of faults as a Markdown table."""
    rows = ["| code | status | may pass later | meaning |", "|---|---|---|---|"]
    for name, code in sorted(PROBLEMS.items(), key=lambda row: (row[1].status, row[0])):
        later = "yes" if code.is_retryable else "no"
        rows.append(f"| `{name}` | {code.status} | {later} | {code.title} |")
    return "\n".join(rows)


def fields_table() -> str:
    """The fields that rules read as a Markdown table."""
    rows = ["| field | type | may be missing | meaning |", "|---|---|---|---|"]
    for field in schema.FIELDS:
        misses = "yes" if field.may_miss else ""
        rows.append(f"| `{field.name}` | {field.type} | {misses} | {field.meaning} |")
    return "\n".join(rows)


def features_table() -> str:
    """The features of models as a Markdown table."""
    rows = ["| feature | kind | what it is |", "|---|---|---|"]
    for spec in features.FEATURES:
        told = f"{spec.source.op} of {', '.join(f'`{name}`' for name in spec.source.names)}"
        if spec.source.scale != 1:
            told += f", times {spec.source.scale:.4g}"
        rows.append(f"| `{spec.name}` | {spec.type} | {told} |")
    return "\n".join(rows)


def flows_table() -> str:
    """Every module of the use cases and its summary, by room, as a Markdown table."""
    rows = ["| room | file | what it does |", "|---|---|---|"]
    for path in python_files("gateway/flows"):
        summary = (ast.get_docstring(tree(path)) or "").split("\n")[0].rstrip(".")
        if path.parent.name == "flows":
            continue
        if path.stem == "__init__":
            rows.append(f"| **{path.parent.name}** | | **{summary}** |")
        elif path.stem != "services":
            rows.append(f"| | [`{path.stem}`]({path.parent.name}/{path.name}) | {summary} |")
    return "\n".join(rows)


def rights_table() -> str:
    """Who may call what, by path."""
    rows = ["| path | operations and the scopes that suffice | of its own org |", "|---|---|---|"]
    paths: dict[str, list[str]] = {}
    bound: dict[str, str] = {}
    for route in ROUTES:
        what = f"{route.method}: {' or '.join(route.scopes)}"
        paths.setdefault(route.path, []).append(what)
        if route.bound_scopes:
            bound[route.path] = ", ".join(route.bound_scopes)
    rows += [f"| `{of}` | {' · '.join(what)} | {bound.get(of, '')} |" for of, what in paths.items()]
    return "\n".join(rows)


TABLES: dict[str, tuple[Path, Callable[[], str]]] = {
    "settings": (HOUSE_BOOK, settings.table),
    "reasons": (HOUSE_BOOK, reasons_table),
    "problems": (HOUSE_BOOK, problems_table),
    "metrics": (HOUSE_BOOK, metrics.table),
    "fields": (RULE_BOOK, fields_table),
    "mistakes": (RULE_BOOK, mistakes.table),
    "flows": (ROOT / "gateway/flows/README.md", flows_table),
    "features": (MODEL_BOOK, features_table),
    "rights": (ROOT / "gateway/http/README.md", rights_table),
}
"""By name, the book that a generated table stands in, and what generates it."""


def markdown_files() -> list[Path]:
    """Every Markdown file of the project."""
    found = (p for p in ROOT.rglob("*.md") if not NOT_OURS & set(p.relative_to(ROOT).parts))
    return sorted(found)


def between_markers(text: str, name: str) -> list[str]:
    """What stands between the markers of a generated table, wherever they do."""
    pattern = rf"<!-- generated: {name} -->\n(.*?)\n?<!-- end -->"
    return [part.strip("\n") for part in re.findall(pattern, text, re.DOTALL)]


def rooms() -> list[Path]:
    """Directories of the gateway with code of their own."""
    found = []
    for path in sorted((ROOT / "gateway").iterdir()):
        files = path.rglob("*.py") if path.is_dir() else ()
        if any(f.stat().st_size > 0 for f in files):
            found.append(path)
    return found


def sections(text: str) -> list[str]:
    """The parts of a Markdown text, each from one heading to the next."""
    return re.split(r"^(?=#{1,6} )", text, flags=re.MULTILINE)


def describes(section: str, room: str) -> bool:
    """Whether a section is about a room (its heading names it) and states its invariant."""
    heading, _, body = section.partition("\n")
    is_its = re.search(rf"(?<![\w/]){re.escape(room)}(?!\w)", heading.lstrip("# ")) is not None
    return is_its and "Invariant" in body


def of_one_line(text: str, room: str) -> bool:
    """Whether a paragraph, list item or table row begins with the room and states its invariant."""
    blocks = re.split(r"\n\s*\n|\n(?=[-*|] )", text)
    begins = re.compile(rf"[-*|\s]*\**`(?:gateway/)?{re.escape(room)}/?`")
    return any(begins.match(block) and "Invariant" in block for block in blocks)


def anchors(path: Path) -> set[str]:
    """The anchors of a Markdown file's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", path.read_text("utf-8"), re.MULTILINE):
        text = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        twins = sum(1 for a in found if re.fullmatch(rf"{re.escape(text)}(-\d+)?", a))
        found.add(f"{text}-{twins}" if twins else text)
    return found


def broken_links(path: Path) -> list[str]:
    """Relative links of a Markdown file that lead nowhere."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text("utf-8"), flags=re.DOTALL)
    broken = []
    for plain, picture in LINK.findall(text):
        link = plain or picture
        if link.startswith(OUTSIDE):
            continue
        target, _, anchor = link.partition("#")
        leads_to = (path.parent / target).resolve() if target else path
        if not leads_to.exists() or (
            anchor and leads_to.suffix == ".md" and anchor not in anchors(leads_to)
        ):
            broken.append(link)
    return broken


@pytest.mark.parametrize("room", rooms(), ids=lambda room: room.name)
def test_every_room_states_what_never_changes(room: Path) -> None:
    """In its own README.md, or under its name in gateway/README.md."""
    own = room / "README.md"
    if own.exists():
        assert "*Invariant:*" in own.read_text("utf-8")
        return
    assert HOUSE_BOOK.exists(), f"neither {shown(own)} nor {shown(HOUSE_BOOK)} is written"
    text = HOUSE_BOOK.read_text("utf-8")
    assert any(describes(s, room.name) for s in sections(text)) or of_one_line(text, room.name)


@pytest.mark.parametrize("name", TABLES)
def test_a_generated_table_says_what_the_code_says(name: str) -> None:
    book, table = TABLES[name]
    assert book.exists(), f"{shown(book)} is not written"
    tables = between_markers(book.read_text("utf-8"), name)
    assert tables == [table()], "python -m tests.house.test_docs writes it anew"


def test_generated_tables_say_the_same_wherever_they_stand() -> None:
    for path in markdown_files():
        text = path.read_text("utf-8")
        for name in re.findall(r"<!-- generated: (\w+) -->", text):
            assert name in TABLES, f"{shown(path)}: nobody generates {name}"
            assert set(between_markers(text, name)) == {TABLES[name][1]()}, f"{shown(path)}: {name}"


def test_the_project_introduces_itself() -> None:
    assert (ROOT / "README.md").exists()


@pytest.mark.parametrize("path", markdown_files(), ids=shown)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path) == []


CITED = re.compile(r"`([\w./-]+\.(?:py|lua|md|toml))`")


def missing_files(path: Path) -> list[str]:
    """Files that a Markdown file cites, by path or by name, and that do not exist."""
    known = {file.name for room in ("gateway", "rules", "models", "loadtests", "tests")
             for file in (ROOT / room).rglob("*.*")}  # fmt: skip
    return [
        name
        for name in CITED.findall(path.read_text("utf-8"))
        if not (ROOT / name).exists()
        and not (path.parent / name).exists()
        and not (ROOT / "gateway" / name).exists()
        and ("/" in name or name not in known)
    ]


@pytest.mark.parametrize(
    "path", [path for path in markdown_files() if path.name != "CHANGELOG.md"], ids=shown
)
def test_a_file_that_is_cited_exists(path: Path) -> None:
    assert missing_files(path) == []


def test_the_guard_sees_a_file_that_is_gone(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("`gateway/settings.py` `settings.py` `gone.py` `gateway/gone.py` `a.md`")
    assert missing_files(page) == ["gone.py", "gateway/gone.py"]


def test_the_reasons_table_lists_each_reason_once() -> None:
    assert [line.split("`")[1] for line in reasons_table().splitlines()[2:]] == [
        reason.name for reason in by_rank()
    ]


def test_the_guard_sees_a_dead_link(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# One thing\n## A `b` & c\n")
    page = tmp_path / "a.md"
    page.write_text(
        "[x](b.md) [x](b.md#one-thing) [x](b.md#a-b--c) [x](https://a.b) [x](#here)\n# Here\n"
        "`[x](no.md)` [x](gone.md) [x](b.md#two) ![x](gone.png)\n"
    )
    assert broken_links(page) == ["gone.md", "b.md#two", "gone.png"]


@pytest.mark.parametrize(
    ("text", "is_described"),
    [
        ("## core/\nPure.\n\n*Invariant*: no clock.\n", True),
        ("## `core`: the decision\n*Invariant*: no clock.\n", True),
        ("## core/\nPure.\n## store/\n*Invariant*: it alone knows Redis.\n", False),
        ("## score\n*Invariant*: none.\n", False),
        ("- `core/` is pure. *Invariant*: no clock.\n- `store/` x\n", True),
        ("- `store/` imports `core/`. *Invariant*: it alone knows Redis.\n", False),
        ("| `gateway/core/` | *Invariant*: no clock |\n", True),
    ],
)
def test_the_guard_tells_whose_invariant_it_reads(text: str, is_described: bool) -> None:
    found = any(describes(s, "core") for s in sections(text)) or of_one_line(text, "core")
    assert found == is_described


def write_tables() -> None:
    """Write every generated table between its markers."""
    for path in markdown_files():
        text = before = path.read_text("utf-8")
        for name, (_, table) in TABLES.items():
            pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)"
            text = re.sub(pattern, lambda m, t=table: f"{m[1]}{t()}\n{m[2]}", text, flags=re.DOTALL)
        if text != before:
            path.write_text(text, "utf-8")


if __name__ == "__main__":
    write_tables()
