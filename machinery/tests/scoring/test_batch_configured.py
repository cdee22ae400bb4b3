"""A batch by configuration: what is scored where no INPUT is named, by whom, and what a page shows of it."""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import mlops
from test_batch import flowers

from mlops.config import Project
from mlops.scoring import commands


def configure(project: Project, **batch: Any) -> None:
    file = project.root / "config" / "iris.yaml"
    content = yaml.safe_load(file.read_text())
    content.setdefault("serving", {})["batch"] = batch
    file.write_text(yaml.safe_dump(content))


def test_what_is_configured_is_scored_and_the_command_line_takes_precedence(registered: Project, tmp_path: Path) -> None:
    lines = flowers(300).to_csv(index=False).splitlines()
    lines[17] = "wide" + lines[17][lines[17].index(",") :]
    (tmp_path / "new.csv").write_text("\n".join(lines))
    configure(registered, input=str(tmp_path / "*.csv"), output=str(tmp_path / "scored"), on_error="quarantine", part_rows=100)
    os.environ |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    done = mlops("score", "iris", "--report", tmp_path / "report", "--json")
    assert done.code == 0, done.err
    assert [done.value[key] for key in ("predictions", "rejects")] == [299, 1] and len(done.value["parts"]) == 3
    summary = (tmp_path / "summary.md").read_text().splitlines()
    assert summary[0] == f"### iris 1.0.0: 299 predictions in {tmp_path}/scored"
    assert f"| {tmp_path}/new.csv | 300 | 299 | 1 | 0 |" in summary
    assert summary[-2] == "| **1 files, 3 parts** | 300 | 299 | 1 | 0 |"
    assert json.loads((tmp_path / "report" / "manifest.json").read_text()) == done.value
    (rejects,) = (tmp_path / "report" / "rejects").iterdir()
    assert rejects.read_bytes() == (tmp_path / "scored" / "rejects" / rejects.name).read_bytes()
    done = mlops("score", "iris", "", tmp_path / "other", "--on-error", "fail", "--part-rows", "1000")
    assert done.code == 2 and "row 18" in done.error
    flowers(50).to_parquet(tmp_path / "one.parquet")
    done = mlops("score", "iris", tmp_path / "one.parquet", tmp_path / "third", "--json")
    assert done.code == 0 and [part["part_rows"] for part in done.value["parts"]] == [100_000]


def test_a_use_case_without_input_and_half_a_configuration_are_named(registered: Project, tmp_path: Path) -> None:
    done = mlops("score", "iris")
    assert done.code == 2 and done.error.startswith("iris: neither INPUT nor serving.batch.input in config/iris.yaml")
    flowers(5).to_parquet(tmp_path / "one.parquet")
    done = mlops("score", "iris", tmp_path / "one.parquet", "--report", tmp_path)
    assert done.code == 2 and done.error.startswith("--report: there is a manifest where OUTPUT is a folder")
    configure(registered, input=str(tmp_path))
    done = mlops("score", "iris")
    assert done.code == 2 and "input and output go together" in done.error


@pytest.mark.parametrize(("schedule", "days"), [("daily", range(7)), ("weekly", (0,)), ("never", ())])
def test_the_clock_scores_by_the_schedule_and_a_person_at_any_time(
    project: Project, monkeypatch: pytest.MonkeyPatch, schedule: str, days: Any
) -> None:
    configure(project, input="s3://bucket/new", output="s3://bucket/scored", schedule=schedule)
    due = []
    for day in range(7):

        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None, day: int = day) -> Any:
                return datetime(2026, 11, 23 + day, tzinfo=tz)  # the 23rd is a Monday

        monkeypatch.setattr("datetime.datetime", Clock)
        due += [day] if mlops("scored", "--due", "--json").value["use_cases"] else []
    assert due == list(days)
    assert mlops("scored", "--json").value == {"use_cases": ["iris"]}
    assert mlops("scored", "--only", "ridership", "--json").value == {"use_cases": ["ridership"]}
    done = mlops("scored")
    assert done.code == 0 and "s3://bucket/new" in done.out
    configure(project)
    assert commands.HOW in mlops("scored").err


def test_a_page_shows_fifty_files_and_what_was_left_out(tmp_path: Path) -> None:
    from mlops.scoring import report

    counts = {"rows": 1000, "predictions": 1000, "rejects": 0, "unanswered": 0}
    parts = [{"file": f"a|{number}.csv", **counts} for number in range(60)]
    manifest = {"use_case": "churn", "version": "1.0.0", "parts": parts, "refused": {"bad.csv": "column x\nis missing"}}
    manifest |= {key: 60 * value for key, value in counts.items()}
    lines = report.markdown(manifest, tmp_path).splitlines()
    assert "| a\\|49.csv | 1,000 | 1,000 | 0 | 0 |" in lines and "| 10 more files | | | | |" in lines
    assert "| **60 files, 60 parts** | 60,000 | 60,000 | 0 | 0 |" in lines
    assert lines[-1] == "| bad.csv | column x is missing |"
