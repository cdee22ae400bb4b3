"""The page of cases says what the tests hold, and nothing that none does."""

import cases
import pytest


def test_the_page_of_cases_is_the_one_that_follows_from_the_tests() -> None:
    assert cases.PAGE.read_text(encoding="utf-8") == cases.page(), "run: python machinery/tests/cases.py"


@pytest.mark.parametrize(
    ("file", "alternative"),
    [(file, part) for files in cases.PARTS.values() for file, pattern in files.items() for part in pattern.split("|")],
)
def test_each_entry_of_the_page_is_held_by_a_test(file: str, alternative: str) -> None:
    assert cases.claims(file, alternative)
