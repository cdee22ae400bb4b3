"""Digests: the content of files and values as SHA-256, in hexadecimal."""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import json
import tokenize
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def of_file(file: Path) -> str:
    """The digest of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def of_files(root: Path, files: Iterable[Path]) -> str:
    """One digest of many files, by their path below `root` and content; the order does not matter."""
    lines = sorted(f"{file.relative_to(root).as_posix()} {of_file(file)}" for file in files)
    return of_text("\n".join(lines))


def of_code(sources: Mapping[str, bytes]) -> str:
    """One digest of Python modules, by their path and statements: comments, docstrings and blank lines do not count."""
    return of_text("\n".join(sorted(f"{path} {of_text(statements(source))}" for path, source in sources.items())))


@functools.cache
def statements(source: bytes) -> str:
    """A module's lines without comments, docstrings and blank lines; the same text on every version of Python."""
    text = source.decode("utf-8").replace("\r\n", "\n")
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            doc = node.body[0]
            for row in range(doc.lineno, (doc.end_lineno or doc.lineno) + 1):
                lines[row - 1] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


def of_text(text: str) -> str:
    """The digest of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def of_value(value: Any) -> str:
    """The digest of a value that JSON can hold; the order of keys does not matter."""
    return of_text(json.dumps(value, sort_keys=True, default=str))
