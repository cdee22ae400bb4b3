"""Every use case that the wheel brings: shuffled labels give chance and are refused, and so is the outcome as an input."""

import shutil
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from checkouts import ROOT, commit

import use_cases
from mlops.config import Project, load_project
from mlops.data import stages
from mlops.training.candidate import Candidate
from mlops.training.evaluate import evaluate
from mlops.training.gate import Verdict
from mlops.training.train import train
from mlops.use_case import UseCase, load_use_case

EXAMPLES = ROOT / "machinery" / "examples"
# A metric, what it is where labels have nothing to do with inputs, and by how much chance moves it.
CHANCE = {
    "customers": ("average_precision", 0.051, 0.01),
    "iris": ("accuracy", 0.333, 0.13),
    "messages": ("macro_f1", 0.5, 0.06),
    "points": ("accuracy", 0.5, 0.04),
    "ridership": ("rmse", 7.1, 0.7),
    "stocks": ("roc_auc", 0.5, 0.04),
    "taxi": ("average_precision", 0.0125, 0.005),
}
# Smaller models, which know no less of a leak.
SMALL = {"ridership": ("parameters.n_estimators=30",), "stocks": ("parameters.trees=5",), "points": ("parameters.trees=5",)}


@pytest.fixture
def everywhere(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project with all use cases, whose code is that of this repository."""
    for example in sorted(EXAMPLES.iterdir()):
        for part in ("config", "data"):
            shutil.copytree(example / part, project.root / part, dirs_exist_ok=True)
    monkeypatch.setattr(use_cases, "__path__", [*use_cases.__path__, *map(str, EXAMPLES.glob("*/src/use_cases"))])
    commit(project.root, "all use cases")
    yield load_project(project.root)


def by_key(use_case: UseCase, values: pd.Series, rows: pd.DataFrame) -> pd.Series:
    """The values of rows, to be looked up by their key, so that no value depends on which other rows there are."""
    return pd.Series(values.to_numpy(), index=pd.MultiIndex.from_frame(rows[list(use_case.config.key)]))


def with_column(use_case: UseCase, name: str, values: pd.Series) -> UseCase:
    """The use case whose processed rows have the values in a column."""

    def features(interim: pd.DataFrame) -> pd.DataFrame:
        rows = use_case.features(interim)
        return rows.assign(**{name: values.loc[pd.MultiIndex.from_frame(rows[list(use_case.config.key)])].to_numpy()})

    def schema(stage: str) -> pa.DataFrameSchema:
        known = use_case.schema(stage)
        return known if stage != "processed" or name in known.columns else known.add_columns({name: pa.Column(float)})

    return replace(use_case, features=features, schema=schema)


def judged(project: Project, use_case: UseCase) -> tuple[Candidate, Verdict]:
    """What is trained on rows made anew, and what the gate makes of it where there is no champion."""
    for folder in ("interim", "processed"):
        shutil.rmtree(project.data / folder / use_case.name, ignore_errors=True)
    candidate, _ = train(project, use_case, again=True)
    return candidate, evaluate(use_case, candidate, None).verdict


def rows_of(project: Project, name: str) -> tuple[UseCase, pd.DataFrame, pd.Series]:
    use_case = load_use_case(project, name, SMALL.get(name, ()))
    rows, _ = stages.read_processed(project, use_case)
    return use_case, rows, rows[use_case.config.target.column]


@pytest.mark.parametrize("name", sorted(CHANCE))
def test_shuffled_labels_give_chance_and_the_gate_refuses(everywhere: Project, name: str) -> None:
    use_case, rows, target = rows_of(everywhere, name)
    labels = pd.Series(np.random.default_rng(1).permutation(target))
    candidate, verdict = judged(everywhere, with_column(use_case, str(target.name), by_key(use_case, labels, rows)))
    metric, chance, deviation = CHANCE[name]
    assert candidate.manifest["metrics"][metric] == pytest.approx(chance, abs=deviation)
    assert not verdict.passed and verdict.reasons
    found = [item.rule for item in verdict.findings if item.blocks]
    assert found == ([] if use_case.config.expect else ["checks.chance"]), "it is refused for what it predicts"


@pytest.mark.parametrize("name", sorted(CHANCE))
def test_the_outcome_among_the_inputs_is_refused(everywhere: Project, name: str) -> None:
    use_case, rows, target = rows_of(everywhere, name)
    numbers = target if use_case.config.task == "regression" else pd.Series(pd.factorize(target, sort=True)[0])
    known = numbers + np.random.default_rng(0).normal(0, 0.05 * numbers.std(), len(rows))
    _, verdict = judged(everywhere, with_column(use_case, "known_later", by_key(use_case, known, rows)))
    assert not verdict.passed and not verdict.expected
    assert "leaks.single_input.known_later" in [item.rule for item in verdict.findings if item.blocks]


@pytest.mark.parametrize(("name", "column"), [("ridership", "rides"), ("stocks", "gain_5")])
def test_the_next_day_among_the_inputs_is_refused(everywhere: Project, name: str, column: str) -> None:
    use_case, _, _ = rows_of(everywhere, name)

    def features(interim: pd.DataFrame) -> pd.DataFrame:
        rows = use_case.features(interim)
        groups = rows.groupby("symbol")[column] if "symbol" in rows else rows[column]
        return rows.assign(next=groups.shift(-1).fillna(0.0))

    def schema(stage: str) -> pa.DataFrameSchema:
        known = use_case.schema(stage)
        return known.add_columns({"next": pa.Column(float)}) if stage == "processed" else known

    _, verdict = judged(everywhere, replace(use_case, features=features, schema=schema))
    assert not verdict.passed and not verdict.expected
    assert "leaks.features" in [item.rule for item in verdict.findings if item.blocks]
