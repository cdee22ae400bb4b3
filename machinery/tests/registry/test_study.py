"""A study: child runs with what their figures come from, and models that are read where the project is not."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops import tracking
from mlops.config import Project
from mlops.errors import UserError
from mlops.registry import study
from mlops.use_case import load_use_case

READ = """
import sys, mlflow, pandas as pd
sys.path = [place for place in sys.path if "use_cases" not in place]
answer = mlflow.pyfunc.load_model(sys.argv[1]).predict(pd.DataFrame({sys.argv[2]: [int(sys.argv[3])]}))
print(len(answer), getattr(answer, "columns", []))
"""


def children(project: Project, parent: str, to: Path) -> Iterator[tuple[Any, Path]]:
    """The child runs of a study, each with a folder of its artifacts."""
    with tracking.open_store(project) as client:
        experiment = client.get_run(parent).info.experiment_id
        for run in client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent}'"):
            (to / run.info.run_id).mkdir(parents=True)
            yield run.data, Path(client.download_artifacts(run.info.run_id, "", str(to / run.info.run_id)))


def read_elsewhere(model: Path, column: str, value: int) -> str:
    """What a process outside of any project makes of a pyfunc model."""
    command = [sys.executable, "-c", READ, str(model), column, str(value)]
    done = subprocess.run(
        command, cwd=model.parent, env={"PATH": "", "HOME": str(model.parent)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.fixture
def studied(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give iris a study."""
    return lambda function: monkeypatch.setattr(study, "_function", lambda use_case: function)


def test_a_pyfunc_model_takes_its_class_along_and_rows_are_kept(
    fresh: Project, studied: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "coins.py").write_text(
        "import mlflow.pyfunc\n\n\nclass Coin(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n        return [1] * len(model_input)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from coins import Coin

    def trials(*_: Any) -> Iterator[dict[str, Any]]:
        rows = pd.DataFrame({"x": [1, 2], "right": [1.0, 0.0]})
        parts = {"parameters": {"rule": "coin", "year": 1}, "metrics": {"accuracy": 0.5}}
        yield {**parts, "model": Coin(), "example": rows[["x"]], "rows": rows}

    studied(trials)
    result = study.carry_out(fresh, load_use_case(fresh, "iris"))
    ((data, artifacts),) = children(fresh, result["run_id"], tmp_path / "artifacts")
    assert pd.read_csv(artifacts / "rows.csv")["right"].mean() == data.metrics["accuracy"]
    assert read_elsewhere(artifacts / "model", "x", 3).startswith("1 ")


def test_a_study_whose_package_is_missing_is_one_line_that_names_it(fresh: Project, studied: Callable[..., None]) -> None:
    def trials(*_: Any) -> Iterator[dict[str, Any]]:
        import nowhere_to_be_found  # type: ignore[import-not-found]  # noqa: F401

        yield {}

    studied(trials)
    with pytest.raises(
        UserError, match="needs nowhere_to_be_found, which is not installed: mlops deps add nowhere_to_be_found"
    ):
        study.carry_out(fresh, load_use_case(fresh, "iris"))


@pytest.mark.long
def test_prophets_figures_are_those_of_the_rows_and_its_folds_are_prophets_own(
    fresh: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diagnostics = pytest.importorskip("prophet.diagnostics")
    from use_cases.ridership import study as own

    days = pd.DataFrame({"ds": pd.date_range("2002-01-28", "2016-08-28")})
    theirs = diagnostics.generate_cutoffs(
        days, horizon=pd.Timedelta(days=365), initial=pd.Timedelta(days=730), period=pd.Timedelta(days=180)
    )
    assert own.cutoffs(days["ds"]) == theirs and len(theirs) == 24
    monkeypatch.setattr(own, "PERIOD", 1500)
    result = study.carry_out(fresh, load_use_case(fresh, "ridership"))
    seen = 0
    for data, artifacts in children(fresh, result["run_id"], tmp_path / "artifacts"):
        rows, name = pd.read_csv(artifacts / "rows.csv"), data.params["model"]
        assert rows["cutoff"].nunique() == 3 and rows["ahead"].max() == int(data.params["days ahead"])
        assert np.isclose(np.sqrt(((rows[name] - rows["rides"]) ** 2).mean()), data.metrics["rmse"], rtol=1e-9)
        if name == "prophet":
            inside = (rows["rides"] >= rows["low"]) & (rows["rides"] <= rows["high"])
            assert np.isclose(inside.mean(), data.metrics["coverage"], rtol=1e-9)
        if (artifacts / "model").is_dir():
            seen += 1
            history = read_elsewhere(artifacts / "model", "periods", 0)
            ahead = read_elsewhere(artifacts / "model", "periods", 7)
            assert int(ahead.split()[0]) == int(history.split()[0]) + 7 and "forecast" in ahead
    assert seen == 1 and len(result["trials"]) == 7
