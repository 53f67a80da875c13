"""Lua is the machine's fast copy: same numbers, same meaning, and never a string from an amount."""

from __future__ import annotations

import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

from gateway.core import caps, commands, counters, entity_counters, holds, money, velocity
from gateway.store import codec
from gateway.store.library import FIELDS, FUNCTIONS, INCLUDES, build, header
from tests.house.source import ROOT

LUA = ROOT / "gateway/store/lua"
FILES = sorted(LUA.rglob("*.lua"))
FUNCTION_FILES = sorted(LUA.glob("*.lua"))

ENDS = ("finish", "due", "expire", "void", "fence", "snapshot", "open", "standing", "lock")
ENDS += ("restore", "offer", "backlog")
"""What gives memory back, or writes next to nothing, works when the store is full."""

JOINED = {
    "'[^']*'": "text as it stands",
    r"tag|prefix|whose|name|key|hold_id|grant_id|taken\[1\]|entry\[1\]": "parts of keys",
    "now|since": "a moment in ms, which fourteen digits hold",
    "epoch|id": "an epoch, a server's run id: strings as they were given",
    r"needs\[N_RECORD\]|needs\[N_BRIEF\]|args\[3\]": "what was asked, packed",
    r"digest|state|asked|out|terms|body|packed|more|mine|other|struct\.pack\(.*": "bytes",
}
"""All that `..` may join, and what it is. A new operand is placed here once it is no amount."""


def name_of(path: Path) -> str:
    return str(path.relative_to(LUA))


def code(path: Path) -> str:
    """A Lua file without its comments."""
    return re.sub(r"--.*", "", path.read_text("utf-8"))


def constants(path: Path) -> dict[str, int]:
    """Every `local A, B = 1, 2` of numbers in a Lua file."""
    found: dict[str, int] = {}
    pattern = r"^local ([A-Z][A-Z_0-9]*(?:,\s*[A-Z][A-Z_0-9]*)*)\s*=\s*(\d+(?:,\s*\d+)*)\s*$"
    for names, numbers in re.findall(pattern, code(path), re.MULTILINE):
        pairs = zip(names.split(","), numbers.split(","), strict=True)
        found |= {name.strip(): int(number) for name, number in pairs}
    return found


STATUS = constants(LUA / "include/status.lua")


@pytest.mark.parametrize("path", FUNCTION_FILES, ids=name_of)
def test_every_function_states_its_contract(path: Path) -> None:
    stated = header(path.read_text("utf-8"))
    assert stated.name == path.stem
    assert stated.keys and stated.meaning
    assert f"local function {path.stem}(keys, args)" in code(path)


@pytest.mark.parametrize("field", FIELDS)
def test_a_header_without_a_field_is_refused(field: str) -> None:
    lines = [f"-- {name}: x" for name in FIELDS if name != field]
    with pytest.raises(ValueError, match=field):
        header("\n".join(lines))


@pytest.mark.parametrize("path", FUNCTION_FILES, ids=name_of)
def test_the_meaning_of_a_function_is_a_function_of_core(path: Path) -> None:
    named = re.match(r"gateway\.core\.([a-z_.]+)", header(path.read_text("utf-8")).meaning)
    if named is None:
        return
    module, *attributes = named.group(1).rstrip(".").split(".")
    reduce(getattr, attributes, import_module(f"gateway.core.{module}"))


def test_the_library_is_made_of_all_files_and_nothing_else() -> None:
    assert {p.stem for p in FUNCTION_FILES} == set(FUNCTIONS)
    assert {p.stem for p in (LUA / "include").glob("*.lua")} == set(INCLUDES)
    assert len(FILES) == len(FUNCTIONS) + len(INCLUDES)


def test_names_carry_a_digest_of_the_code_so_two_versions_run_side_by_side() -> None:
    library = build()
    digest = library.name.removeprefix("spendgate_")
    assert re.fullmatch("[0-9a-f]{8}", digest)
    assert library.names == {f: f"{f}_{digest}" for f in FUNCTIONS}
    assert all(f"function_name='{name}'" in library.source for name in library.names.values())


@pytest.mark.parametrize("path", FUNCTION_FILES, ids=name_of)
def test_what_ends_things_works_when_the_store_is_full_and_what_begins_them_does_not(
    path: Path,
) -> None:
    flags = header(path.read_text("utf-8")).flags.split()
    assert flags == (["allow-oom"] if path.stem in ENDS else [])


def test_statuses_are_those_of_core() -> None:
    assert {s.name: STATUS[s.name] for s in commands.Status} == {s.name: s for s in commands.Status}
    assert STATUS["UNKNOWN"] == codec.UNKNOWN
    assert codec.UNKNOWN not in set(commands.Status)


def test_hold_statuses_are_those_of_core() -> None:
    assert {s.name: STATUS[s.name.upper()] for s in holds.HoldStatus} == {
        s.name: s for s in holds.HoldStatus
    }


def test_steps_are_those_of_core_and_a_step_ends_in_the_status_of_its_number() -> None:
    ends = [s for s in holds.Step if s is not holds.Step.extend]
    assert {s.name: STATUS[f"STEP_{s.name.upper()}"] for s in ends} == {s.name: s for s in ends}
    for (_, step), after in holds.TRANSITIONS.items():
        if step in ends:
            assert int(step) == int(after), "settle.lua stores the step as the status"


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("WINDOW", counters.WINDOW),
        ("SLIDING", counters.SLIDING),
        ("GAUGE", counters.GAUGE),
        ("MAX_MICROS", money.MAX_MICROS),
        ("WINDOW_GRACE_MS", caps.WINDOW_GRACE_MS),
    ],
)
def test_a_constant_is_that_of_core(name: str, number: int) -> None:
    assert STATUS[name] == number


def test_signals_live_as_long_as_core_says() -> None:
    stated = constants(LUA / "include/signals.lua")
    assert stated["SIGNAL_BUCKETS"] == entity_counters.SIGNAL_BUCKETS
    assert stated["FIXED_BYTES"] == 8 * entity_counters.FIXED
    assert stated["DECLARED_BYTES"] == 8 * entity_counters.DECLARED


def test_tallies_are_those_of_core() -> None:
    stated = constants(LUA / "include/velocity.lua")
    for name in ("DISTINCT", "SIGNAL", "MOST_DISTINCT"):
        assert stated[name] == getattr(velocity, name)


def test_a_hold_has_the_fields_of_core_in_their_order() -> None:
    stated = constants(LUA / "include/holds.lua")
    position = {
        name: i
        for i, field in enumerate(holds.Hold.__struct_fields__, 1)
        for name in (f"H_{field.upper()}", f"H_{field.removesuffix('_ms').upper()}")
    }
    numbers = {name: n for name, n in stated.items() if name.startswith("H_")}
    assert numbers == {name: position[name] for name in numbers}
    assert sorted(numbers.values()) == list(range(1, len(holds.Hold.__struct_fields__) + 1))


def test_modes_are_those_of_core() -> None:
    stated = constants(LUA / "authorize.lua")
    modes = {n: v for n, v in stated.items() if n.startswith("MODE_")}
    assert modes
    assert modes == {n: commands.Mode[n.removeprefix("MODE_")] for n in modes}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_number_becomes_text_or_json(path: Path) -> None:
    """`tostring` and `cjson` keep 14 digits; money has 16."""
    assert re.findall(r"\btostring\b|\bcjson\b", code(path)) == []
    formats = re.findall(r"string\.format\(\s*('[^']*')", code(path))
    assert set(formats) <= {"'%.0f'"}
    assert "table.concat" not in code(path)


def operands(source: str) -> set[str]:
    """What stands at either side of a `..`."""
    strings: list[str] = []

    def stash(match: re.Match[str]) -> str:
        strings.append(match.group())
        return f"§{len(strings) - 1}§"

    hidden = re.sub(r"'[^']*'", stash, source)
    operand = r"(?:struct\.pack\([^()]*\)|§\d+§|[A-Za-z_][\w.]*(?:\[\w+\])*|[^\s.,()]+)"
    found: set[str] = set()
    for match in re.finditer(rf"{operand}(?:\s*\.\.\s*{operand})+", hidden):
        found |= set(re.split(r"\s*\.\.\s*", match.group()))
    assert hidden.count("..") == sum(
        m.group().count("..") for m in re.finditer(rf"{operand}(?:\s*\.\.\s*{operand})+", hidden)
    ), "a .. that this test cannot read"
    return {re.sub(r"§(\d+)§", lambda m: strings[int(m.group(1))], part) for part in found}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_text_is_joined_from_names_and_bytes_never_from_amounts(path: Path) -> None:
    unknown = {
        part
        for part in operands(code(path))
        if not any(re.fullmatch(known, part) for known in JOINED)
    }
    assert unknown == set()


def test_the_guard_reads_every_operand() -> None:
    source = "local a = tag .. '/' .. amount .. struct.pack('<I4', #out) .. hold[H_ORG]"
    assert operands(source) == {"tag", "'/'", "amount", "struct.pack('<I4', #out)", "hold[H_ORG]"}
    assert not any(re.fullmatch(known, "amount") for known in JOINED)
    assert not any(re.fullmatch(known, "left") for known in JOINED)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_leaves_a_global_behind(path: Path) -> None:
    assert re.findall(r"^(?:function\s+\w+|[A-Za-z_]\w*\s*=)", code(path), re.MULTILINE) == []


def test_only_the_clock_reads_the_time() -> None:
    readers = [name_of(p) for p in FILES if re.search(r"'TIME'|os\.time|os\.clock", code(p))]
    assert readers == ["include/clock.lua"]


def test_nothing_is_left_to_chance() -> None:
    assert [name_of(p) for p in FILES if "random" in code(p)] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_one_file_joins_and_splits_keys(path: Path) -> None:
    """Ids are escaped in keys: whoever joins or splits one must know how."""
    slashes = [text for text in re.findall(r"'[^'\n]*'", code(path)) if "/" in text]
    assert (name_of(path) == "include/keys.lua") == bool(slashes), slashes
