"""What `mlops add` writes is what a person would have written: formatted, linted, short, and it trains."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy
from sklearn.metrics import recall_score
from tables import people

from mlops.bundle import build as bundles
from mlops.config import Project
from mlops.data import stages
from mlops.scaffold import choose
from mlops.scaffold.add import Added, add
from mlops.scaffold.understand import Wishes
from mlops.scoring import raw_bundle
from mlops.training.evaluate import evaluate
from mlops.training.train import train
from mlops.use_case import load_use_case

# Lines of Python and YAML for a table of twenty columns.
MOST_LINES = 150


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One candidate is enough where the choice is not what is tested."""
    monkeypatch.setattr(choose, "CANDIDATES", (choose.LINEAR,))


def twenty_columns(file: Path) -> None:
    random = np.random.default_rng(0)
    more = {f"number_{place}": random.normal(size=300).round(3) for place in range(12)}
    more |= {f"kind_{place}": random.choice(["a", "b", "c"], 300) for place in range(2)}
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 300, 300), unit="D")
    people(300).assign(**more, since=days.strftime("%d.%m.%Y")).to_csv(file, index=False)


def series(file: Path) -> None:
    rows = [(shop, day) for shop in ("A", "B", "C") for day in pd.date_range("2024-01-01", periods=120)]
    frame = pd.DataFrame(rows, columns=["shop", "day"])
    base = frame["shop"].map({"A": 50, "B": 100, "C": 300}) + 40 * (frame["day"].dt.dayofweek >= 5)
    frame.assign(sales=(base + np.random.default_rng(0).normal(0, 5, len(frame))).round(2)).to_csv(file, index=False)


def test_twenty_columns_take_fewer_lines_than_allowed_and_pass_the_linters(own: Project, tmp_path: Path) -> None:
    twenty_columns(tmp_path / "rows.csv")
    added = add(own, "mine", str(tmp_path / "rows.csv"), Wishes("left"))
    assert len(added.table.kinds) == 20
    assert added.lines < MOST_LINES
    _lint(own, added)


def test_a_series_of_each_group_trains_passes_the_linters_and_is_served_by_the_columns_of_its_file(
    own: Project, tmp_path: Path
) -> None:
    series(tmp_path / "rows.csv")
    (own.root / "src" / "use_cases").mkdir(parents=True)
    (own.root / "src" / "use_cases" / "__init__.py").touch()
    added = add(own, "mine", str(tmp_path / "rows.csv"), Wishes("sales"))
    _lint(own, added)
    use_case = load_use_case(own, "mine")
    candidate, _ = train(own, use_case)
    verdict = evaluate(use_case, candidate, None).verdict
    assert verdict.passed, verdict.reasons
    assert use_case.config.serving.input == "raw"
    # As a registered version is bundled, without a store, plots and a second bundle, which take longer than all of this.
    version = {"number": "1.0.0", "run_id": "abc", "code": candidate.manifest["parts"]["code"]}
    plain = bundles.build(candidate.path, tmp_path / "plain", "mine", version)
    served = raw_bundle.build(own, candidate, plain, tmp_path / "bundle")
    assert list(served.signature.names) == ["shop", "day"]


def test_a_table_whose_columns_are_the_models_inputs_needs_no_code_in_its_server(own: Project, tmp_path: Path) -> None:
    people(100).to_csv(tmp_path / "rows.csv", index=False)
    add(own, "mine", str(tmp_path / "rows.csv"), Wishes("left"))
    assert load_use_case(own, "mine").config.serving.input == "features"


def test_a_rare_class_is_judged_by_its_probability_and_labelled_by_a_threshold(own: Project, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    score = random.normal(size=800)
    left = np.where(score + random.normal(size=800) / 2 > 1.6, "yes", "no")
    pd.DataFrame({"score": score, "left": left}).to_csv(tmp_path / "rare.csv", index=False)
    add(own, "mine", str(tmp_path / "rare.csv"), Wishes("left"))
    use_case = load_use_case(own, "mine")
    candidate, _ = train(own, use_case)
    evaluation = evaluate(use_case, candidate, None)
    assert evaluation.verdict.passed, evaluation.verdict.reasons
    assert list(use_case.config.metrics)[0] == "average_precision"
    # With the most probable class as the label, half of the rare rows would pass unseen.
    assert evaluation.threshold is not None and evaluation.threshold < 0.5
    assert recall_score(evaluation.truth, evaluation.candidate.values) > 0.6


def _lint(project: Project, added: Added) -> None:
    files = [str(project.root / path) for path in added.files if path.endswith(".py") and not path.startswith("notebooks")]
    for command in (["flake8", "--max-line-length=127"], ["black", "--check", "--line-length=127"]):
        done = subprocess.run([sys.executable, "-m", *command, *files], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_query_becomes_an_immutable_file_whose_note_has_no_password(own: Project, tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/people.db")
    people(100).to_sql("people", engine, index=False)
    engine.dispose()
    add(own, "mine", f"sqlite:///{tmp_path}/people.db", Wishes("left"), query="SELECT * FROM people WHERE age > 20")
    assert [file.name for file in (own.data / "raw" / "mine").glob("*.parquet")] == ["query.parquet"]
    assert "SELECT * FROM people WHERE age > 20" in (own.data / "raw" / "mine" / "README.md").read_text()


@pytest.mark.parametrize("ending", [".parquet", ".xlsx", ".jsonl", ".json", ".csv.gz"])
def test_other_formats_are_read_as_they_are(own: Project, tmp_path: Path, ending: str) -> None:
    rows, file = people(60), tmp_path / f"rows{ending}"
    if ending == ".parquet":
        rows.to_parquet(file)
    elif ending == ".xlsx":
        pytest.importorskip("openpyxl", reason="nothing here writes Excel files")
        rows.to_excel(file, index=False)
    elif ending == ".jsonl":
        rows.to_json(file, orient="records", lines=True)
    elif ending == ".json":
        rows.to_json(file, orient="records")
    else:
        rows.to_csv(file, index=False)
    added = add(own, "mine", str(file), Wishes("left"))
    assert added.table.rows["score"].tolist() == pytest.approx(rows["score"].tolist())
    assert (own.data / "raw" / "mine" / file.name).read_bytes() == file.read_bytes()
    assert stages.interim(own, load_use_case(own, "mine")).rows == 60


def test_rows_that_are_repeated_and_rare_classes_make_no_trap(own: Project, tmp_path: Path) -> None:
    rows = people(100)
    pd.concat([rows, rows]).to_csv(tmp_path / "twice.csv", index=False)
    rows.assign(left=lambda rows: rows["left"].where(rows.index > 0, "once")).to_csv(tmp_path / "rare.csv", index=False)
    rows.assign(left=(rows.index % 3).where(rows.index > 0, 9)).to_csv(tmp_path / "digits.csv", index=False)
    for name, count in (("twice", 200), ("rare", 99), ("digits", 99)):
        add(own, name, str(tmp_path / f"{name}.csv"), Wishes("left"))
        assert stages.interim(own, load_use_case(own, name)).rows == count


@pytest.mark.parametrize(("count", "share", "least"), [(25, 0.5, True), (80, 0.5, False), (300, 0.2, False)])
def test_more_of_a_small_table_is_held_out_so_that_the_gate_can_judge(
    own: Project, tmp_path: Path, count: int, share: float, least: bool
) -> None:
    people(count).to_csv(tmp_path / "rows.csv", index=False)
    add(own, "mine", str(tmp_path / "rows.csv"), Wishes("left"))
    use_case = load_use_case(own, "mine")
    candidate, _ = train(own, use_case)
    assert use_case.config.split.holdout == share
    assert (use_case.config.checks.holdout_rows < 30) == least
    assert len(candidate.holdout()) >= use_case.config.checks.holdout_rows


def test_nothing_of_the_teams_is_written_over(own: Project, tmp_path: Path) -> None:
    people(60).to_csv(tmp_path / "rows.csv", index=False)
    (own.root / "docs").mkdir()
    (own.root / "docs" / "mine.md").write_text("ours")
    with pytest.raises(Exception, match="docs/mine.md is there already"):
        add(own, "mine", str(tmp_path / "rows.csv"), Wishes("left"))
    assert (own.root / "docs" / "mine.md").read_text() == "ours"
    assert not (own.root / "src" / "use_cases" / "mine").exists()
