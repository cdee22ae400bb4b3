"""Raw rows are scored as training saw them: the same answers as the holdout's, with the features of the version's own code."""

from pathlib import Path

import pandas as pd
import pytest
from checkouts import git
from command import mlops

from mlops import use_case_code
from mlops.config import Project
from mlops.errors import UserError
from mlops.scoring import as_trained
from mlops.training import candidate
from mlops.training.candidate import PREDICTION


@pytest.fixture
def rows(registered: Project) -> pd.DataFrame:
    return pd.read_csv(registered.data / "raw" / "iris" / "iris.csv")


def test_rows_without_a_target_get_the_answers_of_the_holdout(registered: Project, rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.drop(columns="species").to_csv(tmp_path / "new.csv", index=False)
    done = mlops("score", "iris", tmp_path / "new.csv", tmp_path / "scored.csv")
    assert done.code == 0, done.err
    scored = pd.read_csv(tmp_path / "scored.csv").set_index("flower")
    holdout = candidate.newest(registered, "iris").holdout().set_index("flower")
    assert len(scored) == len(rows)
    assert scored.loc[holdout.index, "prediction"].tolist() == holdout[PREDICTION].tolist()
    assert scored["probability_setosa"].between(0, 1).all()


def test_a_column_that_is_missing_is_named_with_the_one_that_resembles_it(
    registered: Project, rows: pd.DataFrame, tmp_path: Path
) -> None:
    rows.rename(columns={"petal_width": "petal_widht"}).to_csv(tmp_path / "new.csv", index=False)
    done = mlops("score", "iris", tmp_path / "new.csv")
    assert done.code == 2
    assert "column petal_width is missing, did you mean 'petal_widht'?" in done.error


def test_a_value_of_another_type_is_named(registered: Project, rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.astype(object).assign(petal_width="wide").to_csv(tmp_path / "new.csv", index=False)
    done = mlops("score", "iris", tmp_path / "new.csv")
    assert done.code == 2
    assert "petal_width" in done.error and "wide" in done.error


def test_code_that_has_changed_since_is_taken_from_the_commit(project: Project) -> None:
    package = project.root / "src" / "use_cases" / "mine"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    body = "def load(raw): return {}\nschema = features = build = baseline = load\n"
    (package / "__init__.py").write_text(body.format("'then'"))
    git(project.root, "add", "--all")
    git(project.root, "commit", "--message=then")
    iris = candidate_manifest(project, package)
    (package / "__init__.py").write_text(body.format("'now'"))
    with as_trained.use_case(project, iris) as use_case:
        assert use_case.load(None) == "then"  # type: ignore[arg-type, comparison-overlap]
    with pytest.raises(UserError, match="neither src/use_cases/mine nor commit"):
        with as_trained.use_case(project, {**iris, "parts": {"code": "0" * 64}}):
            pass


def candidate_manifest(project: Project, package: Path) -> dict:
    """What training would record of a use case in this folder, with the configuration of iris."""
    from mlops.config import load_use_case_config

    config = load_use_case_config(project, "iris").model_dump(mode="json")
    sha = git(project.root, "rev-parse", "HEAD")
    return {"use_case": "mine", "parts": {"code": use_case_code.digest(package)}, "config": config, "git": {"sha": sha}}
