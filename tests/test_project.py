"""What holds of every use case of the project."""

from pathlib import Path

import pytest
from mlops import Project, load_project, load_use_case, stages

ROOT = Path(__file__).resolve().parents[1]
USE_CASES = load_project(ROOT).use_cases


def test_the_default_use_case_is_one_of_the_project() -> None:
    assert not USE_CASES or load_project(ROOT).default_use_case in USE_CASES


@pytest.mark.parametrize("name", USE_CASES)
def test_raw_data_keep_their_schema_and_become_rows_with_key_and_target(name: str, project: Project) -> None:
    use_case = load_use_case(project, name)
    rows, _ = stages.read_processed(project, use_case)
    key = list(use_case.config.key)
    assert use_case.config.target.column in rows
    assert not rows.duplicated(key).any()
    assert use_case.inputs(rows)


@pytest.mark.parametrize("name", USE_CASES)
def test_each_use_case_has_a_page_and_says_where_its_data_come_from(name: str) -> None:
    assert (ROOT / "docs" / f"{name}.md").is_file()
    assert "licence" in (ROOT / "data" / "raw" / name / "README.md").read_text(encoding="utf-8").lower()
