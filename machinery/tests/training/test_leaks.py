"""Leaks are found on tables into which they were put, and no honest table raises an alarm."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier

from mlops.config import Project
from mlops.data import stages
from mlops.training import file_access, leaks, seeds
from mlops.training.split import split
from mlops.training.train import train
from mlops.use_case import UseCase, load_use_case

SHARE = 0.05


def churn() -> tuple[pd.DataFrame, str, bool]:
    """Customers of a telephone company: contract, months, charges, services, and who has left (a fifth)."""
    random, size = np.random.default_rng(5), 3000
    months = random.integers(1, 73, size)
    contract = random.choice(["monthly", "one year", "two years"], size, p=[0.55, 0.25, 0.2])
    charges = np.round(random.uniform(18, 119, size) / 0.05) * 0.05
    rows = pd.DataFrame({"months": months, "contract": contract, "charges": charges, "total": np.round(months * charges, 2)})
    rows["internet"] = random.choice(["fiber", "dsl", "no"], size)
    rows["support"] = random.choice(["yes", "no"], size)
    risk = -1.5 - 0.03 * months + 0.01 * charges + 1.2 * (contract == "monthly")
    return rows.assign(left=random.random(size) < 1 / (1 + np.exp(-risk))), "left", True


def wine() -> tuple[pd.DataFrame, str, bool]:
    return load_wine(as_frame=True).frame, "target", True


def diabetes() -> tuple[pd.DataFrame, str, bool]:
    return load_diabetes(as_frame=True).frame, "target", False


def sides(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    held = np.random.default_rng(3).random(len(rows)) < 0.3
    return rows[~held].reset_index(drop=True), rows[held].reset_index(drop=True)


def blocking(rows: pd.DataFrame, target: str, classes: bool) -> list[str]:
    """The names of the findings on a table that would refuse."""
    training, holdout = sides(rows)
    inputs = [name for name in rows if name != target]
    truth = holdout[target]
    simple = np.mean(truth != training[target].mode()[0]) if classes else np.mean((truth - training[target].mean()) ** 2)
    findings, _ = leaks.of_single_inputs(training, holdout, inputs, target, float(simple), classes, 0.95)
    findings += leaks.of_duplicates(training[inputs], holdout[inputs], training[target], SHARE)
    findings += leaks.of_row_numbers(rows, inputs, False)
    return [item.rule for item in findings if item.blocks]


@pytest.mark.parametrize("table", [churn, wine, diabetes])
def test_honest_tables_raise_no_alarm(table: Callable[[], tuple[pd.DataFrame, str, bool]]) -> None:
    assert blocking(*table()) == []


@pytest.mark.parametrize("name", ["iris", "ridership"])
def test_the_examples_raise_no_alarm(project: Project, name: str) -> None:
    use_case = load_use_case(project, name)
    rows, _ = stages.read_processed(project, use_case)
    assert leaks.of_features(use_case, stages.read_interim(project, use_case), rows) == []
    training, _ = split(rows, use_case.config.split, use_case.config.key, use_case.config.target.column)
    assert seeds.check(use_case, training, use_case.inputs(rows)) == []


@pytest.mark.parametrize("table", [churn, wine, diabetes])
def test_a_copy_of_the_target_as_input_is_found(table: Callable[[], tuple[pd.DataFrame, str, bool]]) -> None:
    rows, target, classes = table()
    random = np.random.default_rng(1)
    copy = rows[target].astype(str) + "!" if classes else rows[target] * 2 + random.normal(0, 1, len(rows))
    assert blocking(rows.assign(copy=copy), target, classes) == ["leaks.single_input.copy"]


@pytest.mark.parametrize("table", [churn, wine, diabetes])
def test_a_copy_of_the_target_with_gaps_is_found_where_it_is_known(
    table: Callable[[], tuple[pd.DataFrame, str, bool]],
) -> None:
    rows, target, classes = table()
    copy = (rows[target].astype(str) if classes else rows[target]).mask(np.random.default_rng(2).random(len(rows)) < 0.3)
    assert blocking(rows.assign(copy=copy), target, classes) == ["leaks.single_input.copy"]


def test_a_copy_of_the_target_as_text_is_found() -> None:
    rows, target, classes = diabetes()
    copy = (rows[target] * np.random.default_rng(2).normal(1, 0.02, len(rows))).astype(str)
    assert blocking(rows.assign(copy=copy), target, classes) == ["leaks.single_input.copy"]


def test_an_honest_column_with_gaps_raises_no_alarm() -> None:
    rows, target, classes = churn()
    random = np.random.default_rng(2)
    gaps = {name: rows[name].mask(random.random(len(rows)) < 0.6) for name in rows if name != target}
    assert blocking(rows.assign(**gaps), target, classes) == []


@pytest.mark.parametrize("table", [churn, wine, diabetes])
def test_rows_that_stand_on_both_sides_are_found(table: Callable[[], tuple[pd.DataFrame, str, bool]]) -> None:
    rows, target, classes = table()
    assert "leaks.duplicates" in blocking(pd.concat([rows, rows], ignore_index=True), target, classes)


@pytest.mark.parametrize("written", ["{:06d}", "C-{:04d}", "{}0"])
def test_a_row_number_is_found_however_it_is_written(written: str) -> None:
    rows = pd.DataFrame({"number": [written.format(i) for i in np.random.default_rng(0).permutation(200)]})
    rows["steps"] = rows["number"].str.extract(r"(\d+)", expand=False).astype(int)
    findings = leaks.of_row_numbers(rows, ["number", "steps"], False)
    assert [item.rule for item in findings if item.blocks] == ["leaks.row_number.number", "leaks.row_number.steps"]


def test_names_and_measures_that_differ_number_no_rows() -> None:
    random = np.random.default_rng(1)
    rows = pd.DataFrame({"code": [f"{random.integers(1e9):09d}" for _ in range(200)], "grams": random.permutation(5000)[:200]})
    rows["name"] = [f"{letter}{i}" for i, letter in enumerate("ab" * 100)]
    assert leaks.of_row_numbers(rows, list(rows), False) == []


@pytest.mark.parametrize("order", [1, -1])
def test_a_row_number_as_input_is_found(order: int) -> None:
    rows, target, classes = diabetes()
    assert "leaks.row_number.number" in blocking(rows.assign(number=np.arange(len(rows))[::order] + 7.0), target, classes)


def looking_forward(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(next=rows["sepal_length"].shift(-1)).dropna()


def looking_forward_with_gaps_filled(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(next=rows["sepal_length"].shift(-1).fillna(0.0))


def centred(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(sepal_length=rows["sepal_length"] - rows["sepal_length"].mean())


def target_encoded(rows: pd.DataFrame) -> pd.DataFrame:
    versicolor = (rows["species"] == "versicolor").groupby(rows["petal_width"]).transform("mean")
    return rows.assign(share=versicolor)


def ranked(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(rank=rows["sepal_length"].rank(pct=True))


FORWARD = [looking_forward, looking_forward_with_gaps_filled, centred, target_encoded, ranked]


@pytest.mark.parametrize("features", FORWARD, ids=[function.__name__ for function in FORWARD])
def test_features_that_know_other_rows_are_found(project: Project, features: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    use_case = replace(load_use_case(project, "iris"), features=features)
    interim = stages.read_interim(project, use_case)
    findings = leaks.of_features(use_case, interim, features(interim))
    assert [(item.rule, item.blocks) for item in findings] == [("leaks.features", True)]


def test_a_lag_is_no_leak_in_whatever_order_the_rows_stand(project: Project) -> None:
    use_case = load_use_case(project, "iris", ("key=[day]",))

    def features(rows: pd.DataFrame) -> pd.DataFrame:
        ordered = rows.sort_values("day")
        return ordered.assign(before=ordered["x"].shift(1).fillna(0.0))

    days = pd.date_range("2020-01-01", periods=200)
    rows = pd.DataFrame({"day": days, "x": np.arange(200.0), "species": "setosa"}).sample(frac=1, random_state=1)
    rows = rows.reset_index(drop=True)
    assert leaks.of_features(replace(use_case, features=features), rows, features(rows)) == []


def test_data_files_that_the_code_opens_are_found(tmp_path: Path) -> None:
    rows = pd.DataFrame({"x": [1, 2]})
    rows.to_csv(tmp_path / "a.csv")
    rows.to_parquet(tmp_path / "b.parquet")
    with file_access.watch() as opened:
        pd.read_csv(tmp_path / "a.csv")
        pd.read_parquet(tmp_path / "b.parquet")
        rows.to_csv(tmp_path / "written.csv")
    pd.read_csv(tmp_path / "written.csv")
    assert set(opened) == {str(tmp_path / "a.csv"), str(tmp_path / "b.parquet")}
    assert file_access.finding(opened)[0].blocks


@pytest.mark.parametrize("folder", ["site/a_package-1.0.dist-info", "venv/lib/python3.12/site-packages/a_package"])
def test_what_is_installed_is_no_data_wherever_it_lies(folder: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "entry_points.txt").write_text("")
    with file_access.watch() as opened:
        (tmp_path / folder / "entry_points.txt").read_text()
    assert opened == []


def test_a_fit_that_ignores_the_seed_is_refused(project: Project) -> None:
    use_case = load_use_case(project, "iris")
    seedless = replace(use_case, build=lambda **_: RandomForestClassifier(5))
    seeded = replace(use_case, build=lambda seed, **_: RandomForestClassifier(5, random_state=seed))
    assert "checks.seed" in [item["rule"] for item in train(project, seedless, again=True)[0].manifest["checks"]]
    assert "checks.seed" not in [item["rule"] for item in train(project, seeded, again=True)[0].manifest["checks"]]


def opening(use_case: UseCase, file: Path) -> UseCase:
    """The use case with a build that reads a data file."""

    def build(**parameters: object) -> object:
        pd.read_csv(file)
        return use_case.build(**parameters)

    return replace(use_case, build=build)


def test_a_build_that_reads_the_data_is_recorded_with_the_candidate(project: Project) -> None:
    file = project.data / "raw/iris/iris.csv"
    candidate, _ = train(project, opening(load_use_case(project, "iris"), file))
    assert [item["rule"] for item in candidate.manifest["checks"] if item["blocks"]] == ["leaks.files"]
