"""A bad rule of each kind, and the table in the docs of what it is told."""

from __future__ import annotations

from rules.errors import RuleError
from rules.ruleset import load

FILE = """rules:
  - id: example
    action: block
    when: CONDITION
    reason: shown to the caller
"""
CONDITIONS = {
    "a field that is not there": "amout > 5 USD",
    "types that do not compare": "amount > 5",
    "a duration without unit": "org.age < 10",
    "arithmetic that means nothing": "product + 1 > 2",
    "not a condition": "amount + 5 USD",
    "a sum of conditions": "captures + captures > 1",
    "one = for two": 'product = "gpt-5"',
    "one & for two": "captures & org.is_free",
    "something is missing": "amount > 5 USD &&",
    "a parenthesis too few": "(amount > 5 USD",
    "a parenthesis too many": "amount > 5 USD)",
    "a string without end": 'product == "gpt-5',
    "an unknown escape": r'product == "gpt\d"',
    "a regular expression": 'product.matches("gpt.*")',
    "an unknown function": "size(product) > 3",
    "a velocity without window": 'velocity.cost("key", 10) > 5 USD',
    "an unknown velocity": 'velocity.sum("key", 10m) > 5 USD',
    "an unknown entity": 'velocity.count("kex", 1h) > 5',
    "nothing in common": 'velocity.count("org", same "colour", 1h) > 5',
    "an unknown type of event": 'velocity.events("chargback", by "org", 30d) > 0',
    "a number that is on no list": "hour in @night",
    "a built-in list": "context.ip in @block",
    "a window too long": 'velocity.count("key", 365d) > 5',
    "an empty list": "product in []",
    "a list of different things": 'product in ["a", 1]',
    "a list of a calculation": "amount + amount in @large",
    "has() of a value": "has(amount + amount)",
    "a choice of two types": "captures ? amount : tokens",
    "a number too large": "tokens > 99999999999999999999",
    "a fraction of a micro-unit": "amount > 0.0000001 USD",
    "an unknown unit": "org.age < 5 weeks",
    "5,000 parts": "tokens" + "+1" * 2_499 + ">0",
    "nested too deep": "!" * 50 + "captures",
}
FILES = {
    "no yaml": "rules: [",
    "a name nobody knows": FILE.replace("reason:", "raeson:"),
    "something left out": FILE.replace("    reason: shown to the caller\n", ""),
    "an unknown action": FILE.replace("block", "stop"),
    "an id with spaces": FILE.replace("id: example", "id: an example"),
    "an exemption without end": FILE.replace("block", "allow"),
    "a block that expires": FILE + "    expires_at: 2027-01-31\n",
    "a reason too long": FILE.replace("shown to the caller", "x" * 301),
    "two rules of one id": FILE + FILE.partition("\n")[2],
    "an example with a fact that is not read": FILE
    + "    examples: [{facts: {tokens: 5}, expect: match}]\n",
    "an example with a fact of another type": FILE
    + "    examples: [{facts: {amount: 5}, expect: match}]\n",
}


def told(text: str) -> str:
    """What a file of rules is told."""
    try:
        load(text)
    except RuleError as error:
        return str(error)
    raise AssertionError(f"it is taken:\n{text}")


def all_told() -> dict[str, tuple[str, str]]:
    """Of each mistake what is written and what is told."""
    found = {}
    for kind, condition in CONDITIONS.items():
        shown = condition if len(condition) <= 40 else f"{condition[:24]}…"
        body = FILE.replace("when: CONDITION", f"when: |\n      {condition}")
        found[kind] = (shown, told(body.replace("CONDITION", condition)))
    for kind, text in FILES.items():
        found[kind] = ("", told(text.replace("CONDITION", "amount > 5 USD")))
    return found


def table() -> str:
    """As Markdown."""
    rows = ["| mistake | condition | told |", "|---|---|---|"]
    for kind, (written, answer) in all_told().items():
        shown = f"`{written}`".replace("|", "\\|") if written else "(in the file)"
        rows.append(f"| {kind} | {shown} | {answer} |".replace("||", "\\|\\|"))
    return "\n".join(rows)
