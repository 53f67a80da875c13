"""`python -m models.compile_process`: what takes too long for a process that answers requests.

Without an argument a model from the standard input, packed for whoever serves it; with `explain`
the values of one vector and a model, and what each feature contributed. Writes "+" and that, or "-"
and what is wrong.
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
    """JSON: the log-odds of an average request, and what each feature adds. Raises ModelError."""
    told = json.loads(text)
    forest = load(told["text"]).content.forest
    values = [math.nan if value is None else float(value) for value in told["values"]]
    return json.dumps([expected(forest), contributions(forest, values)]).encode()


def main() -> None:
    """Read, check, compile, pack."""
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    try:
        told = b"+" + (explained(text) if sys.argv[1:] == ["explain"] else packed(text))
    except ModelError as error:
        told = b"-" + str(error).encode()
    sys.stdout.buffer.write(told)


if __name__ == "__main__":
    main()
