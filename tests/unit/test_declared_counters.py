"""What is counted for rules, since when, and whether all of it is known, follows from changes."""

from __future__ import annotations

import pytest

from gateway.catalog.declared_counters import Declared, declared
from gateway.catalog.policy_log import EVERYBODY, WARM, WARMING, Change

READS = {
    "a": ("velocity.x",),
    "b": ("velocity.y",),
    "c": ("velocity.x", "velocity.z"),
    "l": ("f in @bad",),
    "n": (),
}
MODES = {"?": WARMING, "~": "shadow", "-": "retired", "<": "active", "+": "active"}


def changes(told: str) -> list[Change]:
    """`a` active, `~a` in shadow, `-a` retired, `?a` to be warmed, `<a` by a rollback.

    `??xy` begins to count x and y, which are then `!xy` warm.
    """
    found: list[Change] = []
    for n, text in enumerate(told.split(), 1):
        name, mode = text[-1], MODES.get(text[0], "active")
        rollback = f"rollback-{n}" if text[0] == "<" else ""
        reads = READS.get(name, ()) if mode != "retired" else ()
        if text[0] == "!" or text[:2] == "??":
            mode, reads = WARM if text[0] == "!" else WARMING, tuple(text.lstrip("?!"))
            name, reads = "", tuple(f"velocity.{letter}" for letter in reads)
        found.append(Change(n, name, mode, EVERYBODY, "cred_1", "", n, reads, rollback=rollback))
    return found


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ("", ""),
        ("n", ""),
        ("?a", "x1"),
        ("?a ??x", "x2"),
        ("?a ??x !x", "x2!"),
        ("?a ??x !x ~a", "x2!"),
        ("?a ??x !x a", "x2!"),
        # An attempt that was broken off leaves nothing behind.
        ("?a ??x ??x !x", "x3!"),
        # What is warm is counted on, whoever begins to read it.
        ("?a ??x !x a ?c ??z !z c", "x2! z6!"),
        ("?a ??x !x a ??xz", "x2!"),
        # One step back can be taken at once; two steps back it is counted no more.
        ("?a ??x !x a ?b ??y !y b", "x2! y6!"),
        ("?a ??x !x a ?b ??y !y b n", "y6!"),
        ("?a ??x !x a ?b ??y !y b n ?a", "x10 y6!"),
        ("?a ??x !x a ?b ??y !y b <a", "x2! y6!"),
        ("?a ??x !x a -a", "x2!"),
        ("?a ??x !x ~a -a", ""),
        ("?a", "x1"),
        ("?a -a", ""),
        # What nobody warmed is counted, and not known.
        ("a", "x1"),
    ],
)
def test_what_is_counted_follows_from_the_changes(told: str, counted: str) -> None:
    found = {
        f"velocity.{one[0]}": Declared(int(one[1:].rstrip("!")), one.endswith("!"))
        for one in counted.split()
    }
    assert declared(changes(told)) == found


def test_a_list_has_no_past() -> None:
    assert declared(changes("?l")) == {"f in @bad": Declared(1, is_warm=True)}
