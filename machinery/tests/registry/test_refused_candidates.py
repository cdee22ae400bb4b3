"""Candidates that the gate refuses: another question under the same number, and sabotaged models."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from variants import OTHER, WEAK, Stored, aliases

from mlops import pipeline, tracking
from mlops.config import Metric, Project
from mlops.use_case import UseCase, load_use_case


def forget_rows(project: Project) -> None:
    """Delete the processed rows, so that they are made again."""
    for file in [*project.data.glob("interim/iris/*"), *project.data.glob("processed/iris/*")]:
        file.unlink()


def without_a_species(use_case: UseCase) -> UseCase:
    """The use case with another set of classes."""
    return replace(use_case, load=lambda raw: use_case.load(raw[raw["species"] != "setosa"]))


def without_an_input(use_case: UseCase) -> UseCase:
    """The use case with an input less."""

    def schema(stage: str):
        return use_case.schema(stage).remove_columns(["petal_width"]) if stage == "processed" else use_case.schema(stage)

    return replace(use_case, schema=schema, features=lambda rows: rows.drop(columns="petal_width"))


@pytest.mark.parametrize(
    ("overrides", "change", "named"),
    [
        (["split.holdout=0.4"], lambda use_case: use_case, "split"),
        (["parameters.degree=2"], without_a_species, "target"),
        (["parameters.degree=2"], without_an_input, "schema (input petal_width)"),
    ],
)
def test_another_question_under_the_same_number_is_refused_by_name(registered, stored, overrides, change, named):
    forget_rows(registered)
    outcome = pipeline.run(registered, change(load_use_case(registered, "iris", tuple(overrides))))
    assert not outcome.passed
    assert any(
        reason.startswith(f"{named} is not the champion's") and "raise target.number" in reason for reason in outcome.reasons
    )
    assert aliases(stored(registered)) == {"champion": "1.0.0"}


def shuffled(use_case: UseCase) -> UseCase:
    """The use case with its labels in disorder."""

    def load(raw: pd.DataFrame) -> pd.DataFrame:
        rows = use_case.load(raw)
        return rows.assign(species=np.random.default_rng(1).permutation(rows["species"]))

    return replace(use_case, load=load)


def not_a_number(use_case: UseCase) -> UseCase:
    """The use case with a metric of its own that fails to be a number."""
    metrics = {**use_case.config.metrics, "share": Metric(direction="higher", limit=0.5)}
    config = use_case.config.model_copy(update={"metrics": metrics})
    return replace(use_case, config=config, evaluate=lambda truth, predictions: {"share": float("nan")})


def lenient(project: Project) -> UseCase:
    """A weak model whose limits let it pass, so that only the champion speaks against it."""
    return load_use_case(project, "iris", WEAK)


@pytest.mark.parametrize(
    ("sabotaged", "reason"),
    [
        (lambda project: shuffled(load_use_case(project, "iris", OTHER)), "macro_f1 breaks its limit"),
        (lambda project: not_a_number(load_use_case(project, "iris")), "share is not a number"),
        (lenient, "macro_f1 is worse than the champion's by more than 0.02"),
    ],
    ids=["shuffled labels", "not a number", "worse than the champion"],
)
def test_a_sabotaged_model_is_refused_and_its_run_says_why(registered: Project, stored: Stored, sabotaged, reason: str):
    forget_rows(registered)
    outcome = pipeline.run(registered, sabotaged(registered), again=True)
    assert not outcome.passed and outcome.version is None
    assert any(reported.startswith(reason) for reported in outcome.reasons), outcome.reasons
    assert aliases(stored(registered)) == {"champion": "1.0.0"}
    with tracking.open_store(registered) as client:
        (logged,) = client.search_runs([client.get_experiment_by_name("iris").experiment_id], "tags.gate = 'refused'")
    assert reason in logged.data.tags["reasons"]
    assert logged.info.status == "FINISHED"


def test_a_refused_run_ends_with_exit_code_one_and_its_reasons(registered: Project, command, stored: Stored):
    result = command("run", "iris", "--set", "parameters.regularisation=100")
    assert result.code == 1
    assert "the gate refuses: macro_f1 breaks its limit: 0.8558" in result.err
    assert "@champion stays where it is" in result.err
    assert aliases(stored(registered)) == {"champion": "1.0.0"}


def test_a_sabotaged_model_is_refused_where_there_is_no_champion_yet(fresh: Project, stored: Stored):
    assert not pipeline.run(fresh, shuffled(load_use_case(fresh, "iris"))).passed
    assert stored(fresh) == []
