"""Each metric of probabilities equals scikit-learn's; thresholds keep their rule; an own `evaluate` sees the team's labels."""

import math

import churn
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from mlops import keys, tracking
from mlops.config import Metric, Project, UseCaseConfig
from mlops.errors import ConfigError
from mlops.metrics.measures import Predictions
from mlops.metrics.own import own_metrics
from mlops.metrics.probabilities import directions, measures_of
from mlops.training import report, rules
from mlops.training.candidate import Candidate
from mlops.training.evaluate import evaluate
from mlops.training.evaluation import Champion
from mlops.training.fitting import without_threshold
from mlops.training.folds import OutOfFold
from mlops.training.thresholds import choose
from mlops.training.train import train
from mlops.use_case import UseCase, load_use_case

AT_LESS = {"direction": "higher", "at": 0.1, "limit": 0.2}
COSTS = {"no": {"yes": 1.5}, "yes": {"no": 10.0, "yes": -0.5}}


def config(**changes) -> UseCaseConfig:
    return UseCaseConfig.model_validate({**churn.CONFIG, **changes})


BOUND = config(
    costs=COSTS,
    metrics={
        "recall_at_precision": {"direction": "higher", "at": 0.4, "primary": True},
        "precision_at_recall": {"direction": "higher", "at": 0.6},
    },
)


@st.composite
def two_classes(draw):
    """Truth and predictions of two classes that both occur; scores repeat, as those of a tree do."""
    size = draw(st.integers(2, 60))
    truth = np.array(draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)))
    assume(0 < truth.sum() < size)
    scores = np.array(draw(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), min_size=size, max_size=size)))
    return truth, Predictions((scores >= 0.5).astype(int), np.column_stack([1 - scores, scores]))


def best(truth, scores, at, kept, other):
    """The best of one at a threshold that keeps the other, by trying every threshold."""
    values = []
    for score in np.unique(scores):
        flagged = scores >= score
        if kept(truth, flagged) >= at:
            values.append(other(truth, flagged))
    return max(values, default=0.0)


REFERENCES = {
    "roc_auc": lambda truth, by: sklearn.roc_auc_score(truth, by.probabilities[:, 1]),
    "average_precision": lambda truth, by: sklearn.average_precision_score(truth, by.probabilities[:, 1]),
    "brier": lambda truth, by: sklearn.brier_score_loss(truth, by.probabilities[:, 1]),
    "recall_at_precision": lambda truth, by: best(
        truth, by.probabilities[:, 1], 0.4, sklearn.precision_score, sklearn.recall_score
    ),
    "precision_at_recall": lambda truth, by: best(
        truth, by.probabilities[:, 1], 0.6, sklearn.recall_score, sklearn.precision_score
    ),
    "precision": lambda truth, by: sklearn.precision_score(truth, by.values, zero_division=0),
    "recall": lambda truth, by: sklearn.recall_score(truth, by.values),
    "f1": lambda truth, by: sklearn.f1_score(truth, by.values),
    "expected_cost": lambda truth, by: np.sum(
        sklearn.confusion_matrix(truth, by.values, labels=[0, 1]) * [[0, 1.5], [10, -0.5]]
    )
    / len(truth),
    "calibration_error": lambda truth, by: calibration(truth, by.probabilities[:, 1]),
}


def calibration(truth, scores):
    rows = pd.DataFrame({"truth": truth, "score": scores, "bin": np.minimum(np.floor(scores * 10), 9)})
    parts = rows.groupby("bin").agg(truth=("truth", "mean"), score=("score", "mean"), rows=("truth", "size"))
    return float(((parts["truth"] - parts["score"]).abs() * parts["rows"]).sum() / len(rows))


@settings(deadline=None, max_examples=60)
@given(two_classes(), st.sampled_from(sorted(REFERENCES)))
def test_metric_of_the_positive_class_equals_scikit_learns(case, name):
    truth, predictions = case
    ours = measures_of(BOUND, ["no", "yes"])[name](truth, predictions)
    assert math.isclose(ours, REFERENCES[name](truth, predictions), rel_tol=1e-9, abs_tol=1e-9)


def test_every_metric_is_compared_with_a_reference():
    base = {"accuracy", "macro_f1", "balanced_accuracy", "log_loss"}
    assert set(measures_of(BOUND, ["no", "yes"])) == set(directions("classification")) == base | set(REFERENCES)


def test_the_positive_class_may_be_the_first_one():
    truth, scores = np.array([0, 1, 1, 0]), np.array([0.9, 0.2, 0.7, 0.4])
    measures = measures_of(config(target={"column": "left", "positive": "a"}, costs={}, threshold=None), ["a", "b"])
    predictions = Predictions(truth, np.column_stack([scores, 1 - scores]))
    assert measures["roc_auc"](truth, predictions) == sklearn.roc_auc_score(truth == 0, scores)


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "brier"])
def test_without_a_positive_class_they_are_means_over_the_classes(name):
    chance = np.random.default_rng(1)
    truth, weights = chance.integers(0, 3, 80), chance.random((80, 3))
    shares = weights / weights.sum(axis=1, keepdims=True)
    open_ended = config(target={"column": "left"}, threshold=None, costs={}, metrics={"log_loss": LOG_LOSS})
    ours = measures_of(open_ended, ["a", "b", "c"])[name](truth, Predictions(truth, shares))
    true = np.eye(3)[truth]
    expected = {
        "roc_auc": lambda: sklearn.roc_auc_score(truth, shares, multi_class="ovr"),
        "average_precision": lambda: sklearn.average_precision_score(true, shares),
        "brier": lambda: np.mean(np.sum((shares - true) ** 2, axis=1)),
    }[name]()
    assert math.isclose(ours, expected, rel_tol=1e-9)


LOG_LOSS = {"direction": "lower", "primary": True}


def test_a_metric_without_positive_rows_is_not_a_number():
    measures, predictions = measures_of(BOUND, ["no", "yes"]), Predictions(np.zeros(3, int), np.full((3, 2), 0.5))
    truth = np.zeros(3, dtype=int)
    assert all(math.isnan(measures[name](truth, predictions)) for name in ("roc_auc", "average_precision", "recall"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": {"column": "left"}}, "threshold needs target.positive"),
        ({"threshold": {"rule": "recall"}}, "at_least belongs to the rules recall and precision"),
        ({"threshold": {"rule": "f1", "value": 0.2}}, "either a number, or a rule"),
        ({"threshold": 1.5}, "less than 1"),
        ({"costs": {}}, "threshold.rule cost needs costs"),
        ({"task": "regression"}, "target.positive is for task classification"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        config(**changes)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"recall_at_precision": {"direction": "higher", "primary": True}}, "needs at, the precision"),
        ({"roc_auc": {"direction": "higher", "at": 0.5, "primary": True}}, "metrics.roc_auc.at: only recall_at_precision"),
        ({"roc_auc": {"direction": "lower", "primary": True}}, "of roc_auc higher is better"),
        ({"roc_au": {"direction": "higher", "primary": True}}, "no metric for classification, did you mean 'roc_auc'"),
    ],
)
def test_a_metric_that_lacks_something_is_refused_where_it_stands(project: Project, metrics, message):
    with pytest.raises(ConfigError, match=message):
        load_use_case(project, "iris", ("target.positive=setosa", f"metrics={metrics}"))


def test_a_label_that_yaml_reads_as_true_is_refused_by_name(project: Project):
    use_case = churn.make(project, churn.customers(400), target={"column": "left", "positive": True})
    with pytest.raises(ConfigError, match="target.positive: True is no class; there are: no, yes; put a text in quotation"):
        train(project, use_case)


def test_what_a_configuration_leaves_out_is_in_none_of_its_records(project: Project):
    plain = load_use_case(project, "iris").config
    assert {"threshold", "costs"}.isdisjoint(plain.model_dump(mode="json"))
    assert set(plain.model_dump(mode="json")["target"]) == {"column", "number"}
    changed = load_use_case(project, "iris", ("target.positive=setosa",)).config
    assert keys.of_config(plain) != keys.of_config(changed)
    recorded = UseCaseConfig.model_validate(config(costs={"yes": {"no": 3}}).model_dump(mode="json"))
    assert recorded.costs == {"yes": {"no": 3}} and recorded.target.positive == "yes"


def scored(seed=0, count=3000):
    """Truth, and scores that are its own probabilities."""
    chance = np.random.default_rng(seed)
    scores = np.round(chance.beta(0.5, 4, count), 3)
    truth = (chance.random(count) < scores).astype(int)
    return truth, OutOfFold(np.arange(count), Predictions(truth, np.column_stack([1 - scores, scores])))


def chosen(rule, **changes):
    truth, seen = scored()
    decision = choose(config(threshold=rule, **changes), truth, seen, np.array(["no", "yes"]))
    return truth, seen.predictions.probabilities[:, 1], decision["value"]


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ({"rule": "f1"}, sklearn.f1_score),
        (
            {"rule": "recall", "at_least": 0.8},
            lambda t, by: sklearn.precision_score(t, by) if sklearn.recall_score(t, by) >= 0.8 else -1,
        ),
        (
            {"rule": "precision", "at_least": 0.4},
            lambda t, by: sklearn.recall_score(t, by) if sklearn.precision_score(t, by) >= 0.4 else -1,
        ),
        ({"rule": "cost"}, lambda t, by: -np.sum(sklearn.confusion_matrix(t, by) * [[0, 1], [10, 0]])),
    ],
    ids=["f1", "recall", "precision", "cost"],
)
def test_a_rule_takes_the_best_of_all_thresholds(rule, value):
    truth, scores, threshold = chosen(rule)
    best = max(value(truth, scores >= each) for each in np.unique(scores)[1:])
    assert value(truth, scores >= threshold) == pytest.approx(best)


def test_of_true_probabilities_the_cost_rule_takes_what_theory_says():
    _, _, threshold = chosen({"rule": "cost"})
    assert threshold == pytest.approx(1 / 11, abs=0.03)  # Elkan 2001: cost of a false alarm / (that + cost of a miss)


def test_a_rule_that_no_threshold_keeps_is_refused_with_what_is_possible():
    with pytest.raises(ConfigError, match="no threshold has a precision of 1 on the training rows, at most 0"):
        truth, seen = scored()
        truth[np.argmax(seen.predictions.probabilities[:, 1])] = 0
        choose(config(threshold={"rule": "precision", "at_least": 1.0}), truth, seen, np.array(["no", "yes"]))


def test_three_classes_have_no_threshold():
    with pytest.raises(ConfigError, match="left has 3 classes; a threshold parts two"):
        choose(config(), np.zeros(3), None, np.array(["a", "b", "yes"]))


def test_an_own_evaluate_gets_the_labels_of_its_team_and_a_column_a_class():
    classes, given = np.array(["no", "yes"]), []
    predictions = Predictions(np.array([1, 0]), np.array([[0.2, 0.8], [0.7, 0.3]]))

    def three(y_true, y_pred, y_proba):
        given.append((list(y_true), list(y_pred), list(y_proba["yes"])))
        return {"hits": float((y_true == y_pred).mean())}

    assert own_metrics(three, np.array([1, 1]), predictions, classes) == {"hits": 0.5}
    assert given == [(["yes", "yes"], ["yes", "no"], [0.8, 0.3])]
    assert own_metrics(
        lambda y_true, y_pred: {"same": list(y_true) == ["yes", "yes"]}, np.array([1, 1]), predictions, classes
    )["same"]
    numbers = own_metrics(lambda t, p, q: {"bias": float((p - t).sum()), "none": q is None}, np.ones(2), predictions, None)
    assert numbers == {"bias": -1.0, "none": True}


@pytest.fixture
def use_case(project: Project) -> UseCase:
    return churn.make(project)


@pytest.fixture
def trained(project: Project, use_case: UseCase) -> Candidate:
    return train(project, use_case)[0]


def test_few_positives_are_gated_by_probabilities_threshold_and_costs(project, use_case, trained):
    champion = Champion("1.0.0", lambda: trained.path / "model", trained.manifest["problem"], 1)
    evaluation = evaluate(use_case, trained, champion)
    assert evaluation.verdict.passed, evaluation.verdict.reasons
    assert 0.07 < np.mean(trained.holdout()["__target__"] == "yes") < 0.09
    assert evaluation.verdict.interval == (0.0, 0.0)  # beside itself as champion, with the champion's own threshold
    rows = {row.metric: row for row in evaluation.verdict.rows}
    assert rows["expected_cost"].candidate == rows["expected_cost"].champion < rows["expected_cost"].baseline
    strict = use_case.config.model_copy(update={"metrics": {"roc_auc": ROC_AUC}})
    refused = evaluate(UseCase(**{**vars(use_case), "config": strict}), trained, champion)
    assert refused.verdict.reasons[0].startswith("roc_auc breaks its limit: 0.8")


ROC_AUC = Metric(direction="higher", limit=0.99, primary=True)


def test_the_threshold_is_part_of_the_model_that_mlflow_loads(trained):
    import mlflow.pyfunc

    rows, threshold = trained.holdout(), trained.manifest["threshold"]
    inputs = rows[list(trained.manifest["problem"]["schema"])]
    flagged = rows["__probability_yes__"] >= threshold["value"]
    assert 0 < threshold["value"] < 0.2 and 0.1 < flagged.mean() < 0.5
    assert (np.where(flagged, "yes", "no") == rows["__prediction__"]).all()
    assert (mlflow.pyfunc.load_model(str(trained.path / "model")).predict(inputs) == rows["__prediction__"]).all()
    model = tracking.load_model(trained.path / "model")
    np.testing.assert_array_equal(model.predict_proba(inputs)[:, 1], rows["__probability_yes__"])
    assert without_threshold(model).predict(inputs).tolist().count("yes") < flagged.sum()
    assert "features.skops" in trained.manifest["files"]


def test_a_fixed_threshold_needs_no_cross_validation(project, monkeypatch):
    monkeypatch.setattr("mlops.training.folds.out_of_fold", None)
    trained, _ = train(project, churn.make(project, threshold=0.3))
    assert trained.manifest["threshold"] == {"positive": "yes", "value": 0.3}
    rows = trained.holdout()
    assert ((rows["__probability_yes__"] >= 0.3) == (rows["__prediction__"] == "yes")).all()


def test_the_report_shows_threshold_curve_and_calibration(project, use_case, trained):
    text = report.write(project, use_case, trained, evaluate(use_case, trained, None), []).read_text()
    assert "![precision_recall](plots/precision_recall.png)" in text and "![calibration]" in text
    assert f"| threshold | {trained.manifest['threshold']['value']:.6g} for yes, by rule cost on" in text


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"costs": {"yes": {"no": 1}, "no": {"yes": 1}}}, "costs"),
        ({"target": {"column": "left", "positive": "no"}}, "target.positive"),
        ({"metrics": {**churn.CONFIG["metrics"], "recall_at_precision": AT_LESS}}, "metrics.recall_at_precision.at"),
    ],
)
def test_a_change_of_what_a_metric_is_taken_of_is_a_changed_rule(changes, rule):
    before, after = (config(**given).model_dump(mode="json") for given in ({}, changes))
    assert [finding.rule for finding in rules.changes(after, before)] == [rule]
    assert rules.changes(before, before) == []
