"""Tables before and after, with the cells that changed marked."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

LIMIT = 150_000  # characters of HTML that are read as tables; longer ones are shown without marks


def marked(before: str, after: str) -> tuple[str, str]:
    """Return both pieces of HTML, `changed` on table cells that differ; as they are where they hold no tables to compare.

    Columns are compared by their names, rows by what they hold: a row that comes or goes marks no other.
    """
    if "<table" not in before or "<table" not in after or len(before) + len(after) > LIMIT:
        return before, after
    import bs4

    soups = [bs4.BeautifulSoup(text, "html.parser") for text in (before, after)]
    tables = [soup.find_all("table") for soup in soups]
    if len(tables[0]) != len(tables[1]):
        return before, after
    for old, new in zip(*tables, strict=True):
        _mark(_rows(old), _rows(new))
    return str(soups[0]), str(soups[1])


def _rows(table: Any) -> list[list[Any]]:
    return [row.find_all(["td", "th"], recursive=False) for row in table.find_all("tr")]


def _texts(row: list[Any]) -> tuple[str, ...]:
    return tuple(cell.get_text(" ", strip=True) for cell in row)


def _mark(old: list[list[Any]], new: list[list[Any]]) -> None:
    keys = [[_texts(row) for row in rows] for rows in (old, new)]
    columns = _columns(keys[0][0] if old else (), keys[1][0] if new else ())
    matched = [[tuple(row[c] for c in side if c < len(row)) for row in rows] for rows, side in zip(keys, columns, strict=True)]
    _mark_columns(old, {*columns[0]}, keys[0])
    _mark_columns(new, {*columns[1]}, keys[1])
    for tag, i, i_end, j, j_end in SequenceMatcher(None, matched[0], matched[1], autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        together = min(i_end - i, j_end - j)
        for a, b in zip(old[i : i + together], new[j : j + together], strict=True):
            _mark_row(a, b, columns)
        for row in [*old[i + together : i_end], *new[j + together : j_end]]:
            _changed(row)


def _columns(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """The places of the columns that both tables have, in the order of both."""
    if len(old) == len(new) and old != new and not set(old) & set(new):
        return list(range(len(old))), list(range(len(new)))
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    pairs = [(block.a + step, block.b + step) for block in blocks for step in range(block.size)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _mark_columns(rows: list[list[Any]], kept: set[int], keys: list[tuple[str, ...]]) -> None:
    width = len(keys[0]) if keys else 0
    for row in rows:
        if len(row) == width:
            _changed(cell for place, cell in enumerate(row) if place not in kept)


def _mark_row(old: list[Any], new: list[Any], columns: tuple[list[int], list[int]]) -> None:
    for a, b in zip(*columns, strict=True):
        if a < len(old) and b < len(new) and _texts([old[a]]) != _texts([new[b]]):
            _changed([old[a], new[b]])


def _changed(cells: Any) -> None:
    for cell in cells:
        cell["class"] = "changed"
