"""Two texts beside each other as HTML: lines that were changed, and within them the words."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from difflib import SequenceMatcher
from functools import cache
from html import escape
from importlib import import_module
from itertools import accumulate
from typing import Any

LINES = 1_500  # of one side; the rest is counted
MANY = 400  # lines from which those that come often begin no match
LINE = 2_000  # characters of one line
LONG = 100_000  # characters of one side; of more lines are shown as they are, without colours, up to three times as many
PAIRS = 1_000_000  # words of changed lines that are compared with each other; further lines are marked as a whole
CONTEXT = 3  # equal lines shown around a change where more are left out
ALIKE = 0.3  # share that two lines have in common when one was made of the other
TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")

Span = tuple[int, int]
Coloured = list[tuple[str, str]]  # pieces of a line: the class of the colour, and the text


def compared(before: str | None, after: str | None, language: str = "") -> str:
    """Return both texts as HTML; None is a side that is missing. language: colours the source, where Pygments knows it."""
    old, new = (_lines(text) for text in (before, after))
    colours = _coloured(old, language), _coloured(new, language)
    parts = []
    # Where a line comes again and again, as brackets do in JSON, each would be tried against each.
    operations = SequenceMatcher(None, old, new, autojunk=len(new) > MANY).get_opcodes()
    for tag, i, i_end, j, j_end in operations:
        if tag == "equal":
            parts.append(_equal(colours, (i, i_end), j, tag_first=i == 0, tag_last=i_end == len(old)))
            continue
        marks = _marks(old[i:i_end], new[j:j_end])
        sides = [
            _side(kind, colours[side][start:end], start, marks[side])
            for side, (kind, start, end) in enumerate((("old", i, i_end), ("new", j, j_end)))
        ]
        parts.append(f'<div class="hunk change">{"".join(sides)}</div>')
    return f'<div class="text">{"".join(parts)}</div>'


def plain(text: str, language: str = "") -> str:
    """Return one text as HTML, with its line numbers."""
    lines = _lines(text)
    side = _side("new", _coloured(lines, language), 0, {}) if language else _plain_side(lines)
    return f'<div class="text"><div class="hunk same">{side}</div></div>'


def _plain_side(lines: Sequence[str]) -> str:
    rows = (f'<div data-n="{n}">{escape(line, quote=False) or "<br>"}</div>' for n, line in enumerate(lines, 1))
    return f'<div class="new">{"".join(rows)}</div>'


def _equal(colours: tuple[list[Coloured], list[Coloured]], lines: Span, j: int, tag_first: bool, tag_last: bool) -> str:
    """Equal lines; those that are far from a change can be opened."""
    i, i_end = lines
    count = i_end - i
    head = 0 if tag_first else CONTEXT
    tail = 0 if tag_last else CONTEXT
    if count <= head + tail + CONTEXT or (tag_first and tag_last):
        return _equal_lines(colours, i, j, count)
    hidden = count - head - tail
    more = f"<details><summary>{hidden} lines unchanged</summary>{_equal_lines(colours, i + head, j + head, hidden)}</details>"
    start = _equal_lines(colours, i, j, head) if head else ""
    end = _equal_lines(colours, i_end - tail, j + count - tail, tail) if tail else ""
    return start + more + end


def _equal_lines(colours: tuple[list[Coloured], list[Coloured]], i: int, j: int, count: int) -> str:
    sides = _side("old", colours[0][i : i + count], i, {}), _side("new", colours[1][j : j + count], j, {})
    return f'<div class="hunk same">{"".join(sides)}</div>'


def _side(kind: str, lines: Sequence[Coloured], first: int, marks: dict[int, list[Span]]) -> str:
    rows = "".join(
        f'<div data-n="{first + number + 1}">{"".join(_pieces(line, marks.get(number, [])))}</div>'
        for number, line in enumerate(lines)
    )
    return f'<div class="{kind}">{rows}</div>'


def _pieces(line: Coloured, marks: list[Span]) -> Iterator[str]:
    position = 0
    for colour, text in line:
        if not marks:
            piece = escape(text, quote=False)
            yield f'<span class="{colour}">{piece}</span>' if colour else piece
            position += len(text)
            continue
        edges = sorted({0, len(text), *(min(max(edge - position, 0), len(text)) for span in marks for edge in span)})
        for start, end in zip(edges, edges[1:], strict=False):
            piece = escape(text[start:end], quote=False)
            piece = f'<span class="{colour}">{piece}</span>' if colour else piece
            inside = any(low <= position + start and position + end <= high for low, high in marks)
            yield f"<mark>{piece}</mark>" if inside else piece
        position += len(text)
    if not position:
        yield "<br>"


def _marks(old: Sequence[str], new: Sequence[str]) -> tuple[dict[int, list[Span]], dict[int, list[Span]]]:
    """The spans that differ in lines which were made of each other: by their place among the changed lines."""
    marks: tuple[dict[int, list[Span]], dict[int, list[Span]]] = ({}, {})
    left = PAIRS
    for number, (before, after) in enumerate(zip(old, new, strict=False)):
        words = TOKEN.findall(before), TOKEN.findall(after)
        left -= len(words[0]) * len(words[1])
        if left < 0:
            break
        matcher = SequenceMatcher(None, *words, autojunk=False)
        if matcher.ratio() < ALIKE:
            continue
        for tag, i, i_end, j, j_end in matcher.get_opcodes():
            if tag != "equal":
                for side, (low, high) in enumerate(((i, i_end), (j, j_end))):
                    span = len("".join(words[side][:low])), len("".join(words[side][:high]))
                    marks[side].setdefault(number, []).append(span)
    return marks


def _lines(text: str | None) -> list[str]:
    if text is None:
        return []
    lines = ANSI.sub("", text).splitlines() or [""]
    cut = [line if len(line) <= LINE else f"{line[:LINE]}… {len(line) - LINE:,} more characters" for line in lines[:LINES]]
    total = [0, *accumulate(map(len, cut))]
    shown = bisect_right(total, 3 * LONG) - 1
    return cut if shown == len(lines) else [*cut[:shown], f"… {len(lines) - shown:,} more lines"]


def _coloured(lines: list[str], language: str) -> list[Coloured]:
    lexer = _lexer(language) if language and sum(map(len, lines)) <= LONG else None
    if not lexer:
        return [[("", line)] if line else [] for line in lines]
    coloured: list[Coloured] = [[]]
    for kind, value in lexer.get_tokens("\n".join(lines)):
        for number, piece in enumerate(value.split("\n")):
            if number:
                coloured.append([])
            if piece:
                coloured[-1].append((_colour(str(kind)), piece))
    coloured = coloured[: len(lines)]
    if ["".join(piece for _, piece in line) for line in coloured] != lines:  # a lexer may change what it reads
        return [[("", line)] if line else [] for line in lines]
    return coloured


@cache
def _lexer(language: str) -> Any:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    if language == "python":
        with suppress(ImportError, AttributeError):  # by its name Pygments would load every plug-in that is installed
            return import_module("ipython_pygments_lexers").IPython3Lexer(stripnl=False)
    for name in ("ipython3", language) if language == "python" else (language,):
        with suppress(ClassNotFound):
            return get_lexer_by_name(name, stripnl=False)
    return None


def _colour(kind: str) -> str:
    """The class of a kind of token: comments, words of the language, strings, numbers, names that are built in."""
    for part, colour in (
        ("Comment", "t-c"),
        ("Keyword", "t-k"),
        ("Operator.Word", "t-k"),
        ("String", "t-s"),
        ("Number", "t-n"),
    ):
        if part in kind:
            return colour
    return "t-b" if "Builtin" in kind or "Decorator" in kind else "t-f" if "Function" in kind or "Class" in kind else ""
