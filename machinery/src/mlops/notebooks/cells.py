"""Code cells as the Python that IPython runs: its own transformer decides, line by line."""

from __future__ import annotations

import ast
import re
import warnings
from difflib import SequenceMatcher
from typing import NamedTuple

LINE_END = re.compile(r"\r\n?")
CELL_MAGIC = re.compile(r"%%(\w+)(?!\w*\?)")
# Cell magics whose cell is Python of the notebook itself: IPython's, and those of the usual profilers.
PYTHON_MAGICS = {
    *("capture", "debug", "prun", "time", "timeit"),
    *("heat", "lprun", "memit", "mprun", "pyinstrument", "scalene", "snakeviz"),
}


class Line(NamedTuple):
    """A line of the Python: the line of the cell that it comes from, from 1, and whether it is as written there."""

    number: int
    as_written: bool


class Python(NamedTuple):
    """A code cell as Python, where its lines come from, and the text of its magics and shell commands."""

    text: str
    lines: list[Line]
    magics: str


def as_python(source: str) -> Python | None:
    """Return what IPython runs of a code cell, or None for a cell magic in another language.

    Raises SyntaxError where IPython would.
    """
    source = LINE_END.sub("\n", source).rstrip()
    lines = source.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    magic = CELL_MAGIC.match(lines[first])
    if not magic:
        return _plain(source)
    if magic[1] not in PYTHON_MAGICS:
        return None
    body = as_python("\n".join(lines[first + 1 :]))
    if body is None:
        return None
    head = [Line(number, False) for number in range(1, first + 2)]
    shifted = [Line(line.number + first + 1, line.as_written) for line in body.lines]
    text = "\n".join([*lines[:first], f"# {lines[first]}", body.text])
    return Python(text, [*head, *shifted], f"{lines[first]}\n{body.magics}")


def compiled(source: str) -> ast.Module:
    """Return the syntax tree of Python that a cell may hold, with `await` at its top; raises SyntaxError for anything else."""
    text = source.encode("utf-8", "replace").decode("utf-8")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            return ast.parse(text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error)) from error


def _plain(source: str) -> Python:
    """Python alone is never transformed; importing IPython costs a third of a second."""
    before = source.split("\n")
    try:
        compiled(source)
        return Python(source, [Line(number, True) for number in range(1, len(before) + 1)], "")
    except SyntaxError:
        text = _transformed(source)
        compiled(text)
    lines: list[Line] = []
    magics: list[str] = []
    after = text.split("\n")
    for tag, start, end, new_start, new_end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        equal = tag == "equal"
        lines.extend(Line(min(start + step, max(start, end - 1)) + 1, equal) for step in range(new_end - new_start))
        magics.extend([] if equal else before[start:end])
    return Python(text, lines, "\n".join(magics))


def _transformed(source: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        return TransformerManager().transform_cell(source).rstrip()
    except SyntaxError:
        raise
    except Exception as error:  # the tokenizer raises whatever the broken source leads to
        raise SyntaxError(str(error)) from error
