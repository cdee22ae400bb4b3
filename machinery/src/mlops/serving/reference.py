"""The web page at /docs: the OpenAPI document for people. No script, nothing is loaded from elsewhere."""

from __future__ import annotations

import html
import json
from typing import Any

from mlops.serving.manifest import Bundle
from mlops.serving.openapi import DOUBLE_MAX, FLOAT_MAX, REFUSALS
from mlops.serving.page import fill
from mlops.serving.signature import Column


def render(bundle: Bundle, document: dict[str, Any]) -> str:
    """The page's HTML, from the bundle and its OpenAPI document."""
    rows, example = document["components"]["schemas"]["Row"], bundle.example
    refusal = {"error_code": "BAD_REQUEST", "message": "Invalid input. \u2026", "field": bundle.signature.names[0]}
    return fill(
        "reference.html",
        name=html.escape(bundle.name),
        number=html.escape(bundle.number),
        description=html.escape(document["info"]["description"]),
        access="Requests that score need a bearer token." if "securitySchemes" in document["components"] else "",
        scoring="\n".join(_scoring(path, verbs["post"]) for path, verbs in document["paths"].items() if "post" in verbs),
        asking="".join(
            f"<tr><td>{html.escape(path)}</td><td>{html.escape(verbs['get']['summary'])}</td></tr>"
            for path, verbs in document["paths"].items()
            if "get" in verbs
        ),
        columns="".join(
            _column(column, rows["properties"][column.name], example[column.name]) for column in bundle.signature.columns
        ),
        refusals="".join(f"<tr><td>{status}</td><td>{_marked(reason)}</td></tr>" for status, reason in REFUSALS.items()),
        refusal=_pretty(refusal),
    )


def _scoring(path: str, content: dict[str, Any]) -> str:
    head = f"<h2><span class=verb>POST</span><code>{html.escape(path)}</code></h2>"
    parts = [head, f"<p>{html.escape(content['summary'])}</p>"]
    for media_type, body in content.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h3>{html.escape(media_type)}</h3>")
        if "example" in body:
            parts.append(f"<pre class=body>{_pretty(body['example'])}</pre>")
        else:
            parts.append("<p>An IPC stream with the columns by their names; the answer is one as well.</p>")
    parts.append(f"<h3>Answer</h3><p>{html.escape(content['responses']['200']['description'])}</p>")
    return f"<section>{''.join(parts)}</section>"


def _column(column: Column, schema: dict[str, Any], example: Any) -> str:
    takes = ["may be missing"] if not column.required else ["null"] if column.gaps else []
    low, high = schema.get("minimum"), schema.get("maximum")
    if high is not None and abs(high) not in (DOUBLE_MAX, FLOAT_MAX):
        takes.append(f"{low:.6g} to {high:.6g}")
    cells = (column.name, column.type, ", ".join(takes) or "a value", json.dumps(example))
    return f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in cells)}</tr>"


def _pretty(value: Any) -> str:
    return html.escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _marked(text: str) -> str:
    parts = [html.escape(part) for part in text.split("`")]
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
