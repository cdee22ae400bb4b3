"""The page of what is refused: each case names a test that is there."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "refusals.md"


def test_every_case_has_a_test_that_is_there() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "| test |" not in line]
    named = [re.findall(r"`([\w/]+\.py)::(test_\w+)`", row) for row in rows]
    assert len(rows) > 45 and all(len(names) == 1 for names in named)
    for ((file, name),) in named:
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        assert name in {part.name for part in tree.body if isinstance(part, ast.FunctionDef)}, f"{file}::{name}"
