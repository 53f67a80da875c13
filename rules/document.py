"""YAML with line and column of every value, so that errors name their place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from rules.errors import RuleError, position

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
DEEPEST = 20


class _Loader(yaml.SafeLoader):
    """Loads plain values only; refuses aliases and deep nesting."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node. Raises RuleError for an alias, which could make a small file large."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # stub has none
        if self.check_event(yaml.AliasEvent):
            raise RuleError("aliases are not supported", mark.line + 1, mark.column + 1)
        self.depth = getattr(self, "depth", 0) + 1
        if self.depth > DEEPEST:
            raise RuleError("it is nested too deep", mark.line + 1, mark.column + 1)
        found = super().compose_node(parent, index)
        self.depth -= 1
        return found


@dataclass(frozen=True)
class Part:
    """A value of the file with its place."""

    node: Any
    loader: Any

    @property
    def value(self) -> Any:
        """The value as YAML reads it. Raises RuleError."""
        try:
            return self.loader.construct_object(self.node, deep=True)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError):
            # An explicit tag can ask YAML for a type that the text does not have.
            raise self.wrong("it cannot be read as what its tag says") from None

    def wrong(self, message: str, hint: str = "") -> RuleError:
        """Build an error at this place."""
        mark = self.node.start_mark
        return RuleError(message, mark.line + 1, mark.column + 1, hint)

    def mapping(self, known: tuple[str, ...], required: tuple[str, ...]) -> dict[str, Part]:
        """Return its parts by name. Raises RuleError for an unknown or a missing name."""
        found = self.names()
        for name, (key, _) in zip(found, self.node.value, strict=True):
            if name not in known:
                hint = f"known: {', '.join(known)}"
                raise Part(key, self.loader).wrong(f"unknown name {name!r}", hint)
        for name in required:
            if name not in found:
                raise self.wrong(f"{name} is missing", f"required: {', '.join(required)}")
        return found

    def names(self) -> dict[str, Part]:
        """Return its parts by name, any names. Raises RuleError if one is repeated."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong("here names and values are expected, as in id: my-rule")
        found: dict[str, Part] = {}
        for key, value in self.node.value:
            name = Part(key, self.loader).text()
            if name in found:
                raise Part(key, self.loader).wrong(f"{name!r} is there twice")
            found[name] = Part(value, self.loader)
        return found

    def items(self) -> list[Part]:
        """Return the elements of a list. Raises RuleError if it is none."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong("a list is expected, each element behind a -")
        return [Part(node, self.loader) for node in self.node.value]

    def text(self) -> str:
        """Return a text that is not blank, as written. Raises RuleError.

        What YAML would read as a number or a date is a text here, too.
        """
        if not isinstance(self.node, yaml.ScalarNode) or not self.node.value.strip():
            raise self.wrong("a text is expected")
        text = str(self.node.value)
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise self.wrong("a text holds half a character", "write it without \\ud800 to \\udfff")
        return text

    def name(self) -> str:
        """Return an id: at most 80 letters, digits, _, . and -. Raises RuleError."""
        found = self.text()
        if not _NAME.fullmatch(found):
            hint = "up to 80 letters, digits, _, . and -"
            raise self.wrong(f"{found!r} cannot be an id", hint)
        return found


@dataclass(frozen=True)
class Document:
    """A parsed file with its text."""

    text: str
    top: Part

    def position(self, part: Part, text: str, at: int) -> tuple[int, int]:
        """Return line and column (from 1) in the file of an offset in a part's text."""
        node = part.node
        first, column = node.start_mark.line, node.start_mark.column
        line, within = position(text, at)
        if node.style == "|":
            lines = self.text.splitlines()
            body = first + line
            indent = _indent(lines[first + 1 :])
            return body + 1, within + indent
        if node.style in (">", None) and node.end_mark.line > first:
            # YAML folded these lines into one: only the beginning is certain.
            return first + 1, column + 1
        return first + line, column + within + (node.style in ("'", '"'))


def _indent(lines: list[str]) -> int:
    written = next((line for line in lines if line.strip()), "")
    return len(written) - len(written.lstrip(" "))


def read(text: str) -> Document:
    """Parse a YAML file. Raises RuleError."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise RuleError(f"it is no yaml: {error.problem}", line, column) from None
    except yaml.YAMLError as error:
        raise RuleError(f"it is no yaml: {str(error).splitlines()[0]}", 1, 1) from None
    if node is None:
        raise RuleError("the file is empty", 1, 1, "it begins with rules:")
    return Document(text, Part(node, loader))
