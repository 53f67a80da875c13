"""`python -m models.compile_process`: compile or explain a model outside the workers.

Both take too long for a process that answers requests. Without an argument it reads a model's text
from the standard input and writes the packed model. With `explain` it reads JSON (a model's text
and one vector) and writes what each feature contributed. The output is "+" and the result, or "-"
and the error.
"""

from __future__ import annotations

import json
import math
import sys

from models.artifact import load
from models.errors import ModelError
from models.serving import packed
from models.shap import contributions, expected


def explained(text: str) -> bytes:
    """Return as JSON the average log-odds and what each feature adds. Raises ModelError."""
    told = json.loads(text)
    forest = load(told["text"]).content.forest
    values = [math.nan if value is None else float(value) for value in told["values"]]
    return json.dumps([expected(forest), contributions(forest, values)]).encode()


def main() -> None:
    """Read the standard input, compile or explain, write the result."""
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    try:
        told = b"+" + (explained(text) if sys.argv[1:] == ["explain"] else packed(text))
    except ModelError as error:
        told = b"-" + str(error).encode()
    sys.stdout.buffer.write(told)


if __name__ == "__main__":
    main()
