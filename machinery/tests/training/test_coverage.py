"""Intervals and sets hold the truth as often as is stated, and are gated on that; slices have limits of their own."""

from dataclasses import replace

import churn
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops.bundle.build import build, frame_to_rows
from mlops.config import Project
from mlops.config.decisions import Coverage
from mlops.errors import ConfigError, DataError
from mlops.metrics.measures import Predictions
from mlops.serving.extras import as_json, available, compute
from mlops.serving.model import load
from mlops.training import conformal, report
from mlops.training.evaluate import evaluate
from mlops.training.folds import OutOfFold
from mlops.training.train import train

LEVEL = {"level": 0.9, "within": 0.02}


def spent(project: Project, **config):
    """A regression on the same customers: what they spend, with errors that are not normal."""
    rows = churn.customers()
    chance = np.random.default_rng(3)
    rows["left"] = 10 + 3 * rows["calls"] - rows["price"] + chance.gamma(2, 2, len(rows))
    metrics = {"mae": {"direction": "lower", "limit": 5.0, "primary": True}}
    regression = {"task": "regression", "target": {"column": "left"}, "metrics": metrics, "threshold": None, "costs": {}}
    use_case = churn.make(project, rows, **{**regression, "split": {"method": "hash", "holdout": 0.3}, **config})
    return replace(
        use_case,
        schema=numbers_of,
        features=lambda rows: rows.drop(columns="plan"),
        build=lambda seed: make_pipeline(StandardScaler(), LinearRegression()),
        baseline=lambda train, holdout: np.full(len(holdout), train["left"].mean()),
    )


def test_intervals_hold_90_percent_of_a_holdout_and_are_served_on_request(project, tmp_path):
    use_case = spent(project, coverage=LEVEL)
    candidate, _ = train(project, use_case)
    evaluation = evaluate(use_case, candidate, None)
    (check,) = evaluation.checks
    assert abs(check.value - 0.9) <= 0.02 and check.passes and check.rows > 1400
    assert evaluation.verdict.passed, evaluation.verdict.reasons
    bundle = build(candidate.path, tmp_path / "b", "churn", {"number": "1.0.0"})
    assert available(bundle.content) == ("contributions", "intervals")
    holdout = candidate.holdout()
    rows, predict = frame_to_rows(holdout, bundle.signature), load(bundle)
    outputs = predict(rows, None)
    intervals = np.array(as_json(compute(predict, bundle.content, rows, outputs, ["intervals"]), bundle.content)["intervals"])
    inside = (intervals[:, 0] <= holdout["__target__"]) & (holdout["__target__"] <= intervals[:, 1])
    assert inside.mean() == pytest.approx(check.value)


def numbers_of(stage):
    from pandera.pandas import Column, DataFrameSchema

    columns = {"customer": Column(int), **{name: Column(float) for name in (*churn.NUMBERS, "left")}}
    return DataFrameSchema({**columns, "plan": Column(str)} if stage != "processed" else columns)


def test_sets_hold_90_percent_of_either_class_and_are_served_on_request(project, tmp_path):
    use_case = churn.make(project, coverage=LEVEL)
    candidate, _ = train(project, use_case)
    evaluation = evaluate(use_case, candidate, None)
    (check,) = evaluation.checks
    assert abs(check.value - 0.9) <= 0.02 and check.passes
    assert evaluation.verdict.passed, evaluation.verdict.reasons
    holdout, chosen = candidate.holdout(), candidate.manifest["coverage"]
    inside = conformal.covered(chosen, evaluation.truth, evaluation.candidate, evaluation.classes)
    assert inside[evaluation.truth == 1].mean() > 0.82  # 124 rows: 90 % less three deviations
    bundle = build(candidate.path, tmp_path / "b", "churn", {"number": "1.0.0"})
    rows, predict = frame_to_rows(holdout, bundle.signature), load(bundle)
    sets = as_json(compute(predict, bundle.content, rows, None, ["sets"]), bundle.content)["sets"]
    held = [true in given for true, given in zip(holdout["__target__"], sets, strict=True)]
    assert (np.array(held) == inside).all()
    assert {len(given) for given in sets} <= {0, 1, 2} and ["no"] in sets and ["no", "yes"] in sets
    sizes = conformal.set_sizes(chosen, evaluation.candidate, evaluation.classes)
    assert sizes.tolist() == [len(given) for given in sets]


def test_a_coverage_beyond_what_was_stated_is_refused(project):
    use_case = churn.make(project, churn.customers(1500), coverage={"level": 0.9, "within": 0.02})
    candidate, _ = train(project, use_case)
    candidate.manifest["coverage"]["limits"] = {"no": 1.0, "yes": 1.0}
    evaluation = evaluate(use_case, candidate, None)
    assert not evaluation.verdict.passed
    assert "coverage is 1.0000, not 0.9 ± 0.02" in evaluation.verdict.reasons
    text = report.summary(candidate, evaluation, [])
    assert "| coverage | 1.0000 | 0.9 ± 0.02 |" in text


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_the_coverage_of_new_rows_is_the_level_whatever_the_errors(level):
    chance = np.random.default_rng(4)
    errors, new = chance.standard_t(2, 4000), chance.standard_t(2, 4000)
    seen = OutOfFold(np.arange(4000), Predictions(np.zeros(4000)))
    chosen = conformal.choose(Coverage(level=level), errors, seen, None)
    assert conformal.covered(chosen, new, Predictions(np.zeros(4000)), None).mean() == pytest.approx(level, abs=0.02)


def test_too_few_rows_for_a_level_are_refused():
    seen = OutOfFold(np.arange(5), Predictions(np.zeros(5)))
    with pytest.raises(DataError, match="5 training rows are too few for level 0.9"):
        conformal.choose(Coverage(), np.ones(5), seen, None)


def test_a_slice_below_its_limit_is_refused_by_name(project):
    use_case = churn.make(project, slice_limits={"plan": {"limit": 0.05}})
    candidate, _ = train(project, use_case)
    kept = evaluate(use_case, candidate, None)
    assert [check.name for check in kept.checks] == [f"average_precision of plan {plan}" for plan in churn.PLANS]
    assert kept.verdict.passed and sum(check.rows for check in kept.checks) == len(kept.holdout)
    worst = min(kept.checks, key=lambda check: check.value)
    refused = evaluate(replace(use_case, config=limited(use_case, worst.value + 1e-6)), candidate, None)
    assert refused.verdict.reasons == (f"{worst.name} is {worst.value:.4f}, not ≥ {worst.value + 1e-6:g}",)
    rare = evaluate(replace(use_case, config=limited(use_case, 1.0, rows=5000)), candidate, None)
    assert rare.checks == () and rare.verdict.passed
    with pytest.raises(ConfigError, match="slice_limits.region: no such column in the holdout"):
        evaluate(replace(use_case, config=limited(use_case, 0.1, column="region")), candidate, None)


def limited(use_case, limit, rows=30, column="plan"):
    from mlops.config.decisions import SliceLimit

    return use_case.config.model_copy(update={"slice_limits": {column: SliceLimit(limit=limit, rows=rows)}})
