"""What a notebook's file says of the machine that saved it: no change and no conflict."""

from __future__ import annotations

from typing import Any

from mlops.notebooks.content import Notebook, script_language

KEYS = ("kernelspec", "language_info", "widgets")


def align(base: Notebook, ours: Notebook, theirs: Notebook) -> None:
    """Give three versions the same environment: that of the side which changed it, ours where both did.

    Where the language itself differs nothing is done, which is a change that a person decides on.
    """
    if len({script_language(notebook) for notebook in (base, ours, theirs) if notebook.get("cells")}) > 1:
        return
    sides = [notebook.setdefault("metadata", {}) for notebook in (base, ours, theirs)]
    for key in KEYS:
        before, mine, other = (metadata.get(key) for metadata in sides)
        chosen = other if mine == before else mine
        if key == "widgets" and other != before != mine:
            chosen = _joined(other, mine)
        for metadata in sides:
            metadata.pop(key, None)
            if chosen is not None:
                metadata[key] = chosen


def plain(notebook: Notebook) -> Notebook:
    """Return the notebook with its language as the only word on its environment."""
    metadata = {key: value for key, value in notebook.get("metadata", {}).items() if key not in KEYS}
    return dict(notebook, metadata={**metadata, "language_info": {"name": script_language(notebook)}})


def _joined(first: Any, second: Any) -> Any:
    """Widget states of both sides: a model has an id of its own."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {**first, **{key: _joined(first.get(key), value) for key, value in second.items()}}
    return second if second is not None else first
