"""The OpenAPI document as a page to read: no script, nothing loaded from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

import msgspec

from gateway.wire.examples import SCHEMAS

STYLE = """
body{font:15px/1.5 system-ui;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1c2024}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{background:#f4f5f7;padding:.8rem;overflow:auto}
nav{columns:2}details{border-top:1px solid #ddd;padding:.4rem 0}summary{cursor:pointer}
summary b{display:inline-block;width:4.5rem}table{border-collapse:collapse}
td,th{padding:.2rem .8rem .2rem 0;vertical-align:top;text-align:left}h2{margin-top:2.5rem}
"""


def page(document: dict[str, Any]) -> str:
    """Show a document: operations by group with examples to copy, then every message."""
    groups: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups[operation["tags"][0]].append(_operation(method.upper(), path, operation))
    meanings = {tag["name"]: tag["description"] for tag in document["tags"]}
    found = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>spendgate API</title>",
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style>",
        "<h1>spendgate API</h1><p>The machine-readable document is <a href='/openapi.json'>",
        "openapi.json</a>. Send a credential as <code>Authorization: Bearer &lt;key&gt;</code>.",
        f"</p><p>{escape(document['info']['description'])}</p><nav>",
        *(f"<div><a href='#{_id(name)}'>{escape(name)}</a></div>" for name in groups),
        "<div><a href='#messages'>Messages</a></div></nav>",
    ]
    for name, operations in groups.items():
        title = f"<h2 id='{_id(name)}'>{escape(name)}</h2>"
        found += [title, f"<p>{escape(meanings[name])}</p>", *operations]
    found.append("<h2 id='messages'>Messages</h2>")
    found += [_message(*one) for one in sorted(document["components"]["schemas"].items())]
    return "".join(found) + "</html>"


def _id(name: str) -> str:
    return name.lower().replace(" ", "-")


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f"<details id='{operation['operationId']}'><summary><b>{method}</b>"
        f"<code>{escape(path)}</code> {escape(operation['summary'])}</summary>"
        f"<p>{escape(operation['description'])}</p>"
    ]
    rows = [
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{p['in']}</td>"
        f"<td>{escape(p['description'])}</td></tr>"
        for p in operation["parameters"]
    ]
    if rows:
        parts.append(f"<table>{''.join(rows)}</table>")
    body = operation.get("requestBody")
    content = next(iter(body["content"].items())) if body else None
    parts.append(f"<pre>{escape(_curl(method, path, content))}</pre>")
    if content is not None:
        parts.append(f"<p>Body: {_link(content[1]['schema'])}</p>")
    for status, response in sorted(operation["responses"].items()):
        shown = response.get("content", {}).get("application/json")
        if shown is not None:
            text = _pretty(shown["example"])
            parts.append(f"<p>{status}: {_link(shown['schema'])}</p><pre>{escape(text)}</pre>")
    faults = [status for status in sorted(operation["responses"]) if status >= "400"]
    parts.append(f"<p>Faults: {', '.join(faults)}, each a <a href='#Problem'>Problem</a>.</p>")
    return "".join(parts) + "</details>"


def _curl(method: str, path: str, content: tuple[str, Any] | None) -> str:
    lines = [f"curl -X {method} http://127.0.0.1:8080{path}", "-H 'Authorization: Bearer sk_…'"]
    if content is not None:
        kind, shown = content
        text = _pretty(shown["example"]).replace("'", "'\\''")
        lines += [f"-H 'Content-Type: {kind}'", f"-d '{text}'"]
    return " \\\n  ".join(lines)


def _link(schema: dict[str, Any]) -> str:
    name = schema.get("$ref", "").removeprefix(SCHEMAS)
    return f"<a href='#{name}'>{name}</a>" if name else "an object"


def _message(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        f"<tr><td><code>{escape(of)}</code></td><td>{_kind(property_)}</td>"
        f"<td>{'required' if of in required else ''}</td>"
        f"<td>{escape(property_.get('description', ''))}</td></tr>"
        for of, property_ in schema.get("properties", {}).items()
    ]
    about = escape(schema.get("description", ""))
    return f"<h3 id='{name}'>{name}</h3><p>{about}</p><table>{''.join(rows)}</table>"


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words, with a link to each message that it refers to."""
    if "$ref" in schema:
        return _link(schema)
    if "anyOf" in schema:
        return " or ".join(_kind(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    kind = str(schema.get("type", "any"))
    if kind == "array" and isinstance(schema.get("items"), dict):
        return f"list of {_kind(schema['items'])}"
    of = schema.get("additionalProperties")
    return f"map of {_kind(of)}" if isinstance(of, dict) else kind


def _pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
