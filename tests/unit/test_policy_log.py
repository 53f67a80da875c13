"""What stands now, and what stood before, follow from all changes."""

from __future__ import annotations

import pytest

from gateway.catalog.policy_log import Change, in_force, previous


def changes(*told: str) -> list[Change]:
    """`a` active for all, `a30` for a share, `~a` in shadow, `-a` retired.

    `<a` by a rollback, `+a` by the same one as the row before.
    """
    found: list[Change] = []
    for n, written in enumerate(told, 1):
        is_rollback = written[0] in "<+"
        text = written.lstrip("<+")
        at_ms = found[-1].at_ms if written[0] == "+" else n
        mode = {"~": "shadow", "-": "retired"}.get(text[0], "active")
        name, share = text.lstrip("~-")[0], text.lstrip("~-")[1:]
        identity = f"rollback-{at_ms}" if is_rollback else ""
        # A person's note never makes a change a rollback.
        said = ("cred_1", "" if is_rollback else "rolled back by hand", at_ms)
        change = Change(n, name, mode, int(share or 100), *said, rollback=identity)
        found.append(change)
    return found


@pytest.mark.parametrize(
    ("told", "active", "shadows"),
    [
        ((), (), ()),
        (("a",), (("a", 100),), ()),
        (("a", "b30"), (("b", 30), ("a", 100)), ()),
        (("a", "b30", "c10"), (("c", 10), ("b", 30), ("a", 100)), ()),
        (("a", "b30", "b"), (("b", 100),), ()),
        (("a", "b30", "-b"), (("a", 100),), ()),
        (("a", "~b", "~c"), (("a", 100),), ("b", "c")),
        (("a", "~b", "b"), (("b", 100),), ()),
        (("a", "~a"), (), ("a",)),
        (("b30", "b50"), (("b", 50),), ()),
    ],
)
def test_what_stands_follows_from_the_changes(
    told: tuple[str, ...], active: object, shadows: object
) -> None:
    found = in_force(changes(*told))
    assert (found.active, found.shadows, found.version) == (active, shadows, len(told))


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ((), None),
        (("~a",), None),
        (("a",), ()),
        (("a", "b"), (("a", 100),)),
        (("a", "b30"), (("a", 100),)),
        (("a", "b30", "b"), (("b", 30), ("a", 100))),
        (("a", "b", "~c"), (("a", 100),)),
        (("a", "b", "c", "<b"), (("a", 100),)),
        (("a", "b", "c", "<b", "<a"), ()),
        (("a", "<-a"), None),
        (("a", "b", "<a", "c"), (("a", 100),)),
        (("b", "a10", "c"), (("a", 10), ("b", 100))),
        (("b", "a10", "c", "<b", "+a10"), (("b", 100),)),
        (("b", "a10", "c", "<b", "+a10", "<b"), ()),
        (("a30", "b", "<a30", "+-b"), ()),
    ],
)
def test_going_back_goes_behind_what_was_rolled_back(told: tuple[str, ...], wanted: object) -> None:
    assert previous(changes(*told)) == wanted
