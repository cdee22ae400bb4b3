"""What a model relies on: the inputs that decide come first, the rest lose nothing; a linear model is added up."""

import churn
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

from mlops.bundle.build import build, frame_to_rows
from mlops.serving.extras import as_json, available, compute
from mlops.serving.model import load
from mlops.training import report
from mlops.training.evaluate import evaluate
from mlops.training.importance import contributions
from mlops.training.train import train


def test_the_inputs_that_decide_come_first_and_the_rest_lose_nothing(project):
    use_case = churn.make(project)
    candidate, _ = train(project, use_case)
    losses = {item["input"]: item for item in candidate.manifest["importance"]}
    assert list(losses)[:2] == ["calls", "months"] and set(losses) == {*churn.NUMBERS, "plan"}
    assert all(losses[name]["low"] > 0.05 for name in ("calls", "months"))
    assert all(losses[name]["low"] < 0 < losses[name]["high"] and losses[name]["loss"] < 0.05 for name in ("age", "price"))
    again, _ = train(project, use_case, again=True)
    assert again.manifest["importance"] == candidate.manifest["importance"]
    text = report.write(project, use_case, candidate, evaluate(use_case, candidate, None), []).read_text()
    assert "| input | loss of average_precision | 95 % interval |" in text and "| calls | 0." in text


def rows(count=300):
    chance = np.random.default_rng(2)
    return pd.DataFrame({name: chance.normal(5, 3, size=count) for name in "abc"})


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()], ids=["standard", "minmax"])
def test_the_contributions_of_a_linear_model_add_up_to_what_it_says(scaler):
    inputs = rows()
    model = make_pipeline(scaler, LinearRegression()).fit(inputs, 2 * inputs["a"] - inputs["b"] + 1)
    shares = contributions(model, inputs, "y")
    coefficients = {name: part["coefficient"] for name, part in shares["inputs"].items()}
    assert coefficients == pytest.approx({"a": 2.0, "b": -1.0, "c": 0.0}, abs=1e-9)
    assert shares["base"] == pytest.approx(float(np.mean(2 * inputs["a"] - inputs["b"] + 1)))


@pytest.mark.parametrize(
    "model", [make_pipeline(PolynomialFeatures(2), LinearRegression()), RandomForestClassifier(5)], ids=["squares", "forest"]
)
def test_a_model_that_does_not_add_up_has_none(model):
    inputs = rows()
    assert contributions(model.fit(inputs, (inputs["a"] * inputs["b"] > 25).astype(int)), inputs, "y") == {}


def test_contributions_are_served_on_request_as_log_odds(project, tmp_path):
    from dataclasses import replace

    use_case = replace(
        churn.make(project),
        features=lambda given: given.drop(columns="plan"),
        schema=lambda stage: without_plan(churn.schema(stage), stage),
        build=lambda seed: make_pipeline(StandardScaler(), LogisticRegression()),
    )
    candidate, _ = train(project, use_case)
    bundle = build(candidate.path, tmp_path / "b", "churn", {"number": "1.0.0"})
    assert available(bundle.content) == ("contributions", "probabilities")
    given, predict = frame_to_rows(candidate.holdout(), bundle.signature), load(bundle)
    shares = compute(predict, bundle.content, given, predict(given, None), ["contributions", "probabilities"])
    answer = as_json(shares, bundle.content)
    assert list(answer["contributions"][0]) == ["base", *churn.NUMBERS]
    odds = np.log([row["yes"] / row["no"] for row in answer["probabilities"]])
    np.testing.assert_allclose([sum(row.values()) for row in answer["contributions"]], odds, rtol=1e-6)


def without_plan(schema, stage):
    return schema.remove_columns(["plan"]) if stage == "processed" else schema
