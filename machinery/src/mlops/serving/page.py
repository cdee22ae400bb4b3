"""The web page at /: what is served, and a form to try it. One file, nothing is loaded from elsewhere."""

from __future__ import annotations

import html
import json
import shlex
from importlib.resources import files
from string import Template
from typing import Any

from mlops.serving.manifest import Bundle
from mlops.serving.signature import FLOATS, INTEGERS, Column


def render(bundle: Bundle) -> str:
    """The page's HTML."""
    content, example = bundle.content, bundle.example
    body = json.dumps({"rows": [example]})
    return fill(
        "page.html",
        name=html.escape(bundle.name),
        number=html.escape(bundle.number),
        format=html.escape(bundle.format),
        facts="".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in _facts(bundle).items()),
        metrics="".join(
            f"<div class=metric><b>{value:.4g}</b><span>{html.escape(name)}</span></div>"
            for name, value in (content["version"].get("metrics") or {}).items()
            if isinstance(value, int | float)
        ),
        fields="".join(_field(column, example[column.name]) for column in bundle.signature.columns),
        curl=html.escape(f"curl -s $ORIGIN/predict -H 'content-type: application/json' \\\n  -d {shlex.quote(body)}"),
    )


def fill(page: str, **parts: str) -> str:
    """One of the HTML files beside this module with its parts filled in, which are escaped already, and the common style."""
    folder = files("mlops.serving")
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    return Template(folder.joinpath(page).read_text(encoding="utf-8")).substitute(parts, style=style)


def _facts(bundle: Bundle) -> dict[str, str]:
    version = bundle.content["version"]
    facts = {"version": bundle.number, "format": bundle.format}
    facts |= {key: str(version[key]) for key in ("run_id", "commit") if version.get(key)}
    facts["digest"] = f"sha256:{bundle.digest}"
    facts["checked"] = _checked(bundle.content["evidence"])
    return facts


def _checked(evidence: dict[str, Any]) -> str:
    if "rows" not in evidence:
        return "the trained model itself"
    if "different" in evidence:
        return f"all {evidence['rows']} labels of the holdout equal the trained model's"
    return f"{evidence['rows']} holdout rows within {evidence['largest_difference']:.0e} of the trained model"


def _field(column: Column, value: Any) -> str:
    name, shown = html.escape(column.name, quote=True), html.escape(_shown(value), quote=True)
    kind = "integer" if column.type in INTEGERS else "number" if column.type in FLOATS else column.type
    if kind == "boolean":
        words = {"true": value is True, "false": value is False} | ({"": value is None} if column.gaps else {})
        choice = "".join(f"<option{' selected' if chosen else ''}>{word}</option>" for word, chosen in words.items())
        return (
            f"<label><span>{name}<i>{column.type}</i></span><select name='{name}' data-kind=boolean>{choice}</select></label>"
        )
    step = {"integer": "type=number step=1", "number": "type=number step=any"}.get(kind, "type=text")
    need = "" if column.gaps or not column.required else " required"
    entry = f"<input name='{name}' data-kind={kind} {step} value='{shown}'{need} autocomplete=off>"
    return f"<label><span>{name}<i>{column.type}</i></span>{entry}</label>"


def _shown(value: Any) -> str:
    """A value in its field: of a number the 15 digits that a float has for certain, so 18.06425 for 18.064249999999998."""
    if isinstance(value, float):
        return f"{value:.15g}"
    return "" if value is None else str(value)
