"""What the gate judges beside the metrics: the champion's rules, its holdout, and the saved model itself."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from churn import CONFIG

from mlops.config import Metric, Project, UseCaseConfig
from mlops.config.checks import Acknowledgement
from mlops.errors import UserError
from mlops.metrics.measures import Predictions
from mlops.training import artifact_check, holdout, judgement, report, rules
from mlops.training.candidate import Candidate
from mlops.training.evaluate import evaluate
from mlops.training.evaluation import Champion, Evaluation
from mlops.training.findings import digest
from mlops.training.fitting import metrics_of
from mlops.training.train import train
from mlops.use_case import UseCase, load_use_case

FORWARD = {"method": "hash", "column": None}


@pytest.fixture
def iris(project: Project) -> UseCase:
    return load_use_case(project, "iris")


@pytest.fixture
def trained(project: Project, iris: UseCase) -> Candidate:
    return train(project, iris)[0]


def champion(candidate: Candidate, **changes: object) -> Champion:
    """The candidate as champion 1.0.0, with other facts where they are given."""
    given = Champion(
        number="1.0.0",
        fetch=lambda: candidate.path / "model",
        problem=candidate.manifest["problem"],
        target_number=1,
        manifest=candidate.manifest,
        holdout=candidate.holdout,
    )
    return replace(given, **changes)  # type: ignore[arg-type]


def with_config(candidate: Candidate, *path: str, value: object) -> Candidate:
    """A candidate whose recorded configuration has another value."""
    tree: dict = {**candidate.manifest["config"]}
    inner = tree
    for name in path[:-1]:
        inner[name] = {**inner[name]}
        inner = inner[name]
    inner[path[-1]] = value
    return Candidate(candidate.path, {**candidate.manifest, "config": tree})


def findings(evaluation: Evaluation) -> list[str]:
    return [item.rule for item in evaluation.verdict.findings if item.refuses]


LOOSER = [
    ("metrics.accuracy.limit", ("metrics", "accuracy", "limit"), 0.5),
    ("metrics.macro_f1.limit", ("metrics", "macro_f1", "limit"), None),
    ("metrics.log_loss.limit", ("metrics", "log_loss", "limit"), 5.0),
    ("metrics.macro_f1.tolerance", ("metrics", "macro_f1", "tolerance"), 0.5),
    ("checks.holdout_rows", ("checks", "holdout_rows"), 1),
    ("checks.single_input", ("checks", "single_input"), 1.0),
    ("split.holdout", ("split", "holdout"), 0.1),
]


@pytest.mark.parametrize(("rule", "path", "value"), LOOSER, ids=[item[0] for item in LOOSER])
def test_a_looser_rule_is_refused_until_it_is_acknowledged(iris: UseCase, trained: Candidate, rule: str, path, value) -> None:
    ours, old = with_config(trained, *path, value=value), trained.manifest["config"]
    for name in path:
        old = old[name]
    refused = evaluate(iris, ours, champion(trained))
    assert rule in findings(refused) and not refused.verdict.passed
    acknowledged = Acknowledgement(rule=rule, old=old, new=value, reason="measured again, see #41")
    excused = evaluate(_acknowledging(iris, acknowledged), ours, champion(trained))
    assert rule not in findings(excused)
    text = report.summary(ours, excused, [])
    assert text.splitlines()[2].startswith(f"- ⚠ acknowledged: {rule} from {old} to {value} (measured again")
    for other in ({"old": "x"}, {"new": "x"}, {"rule": "primary"}):
        wrong = acknowledged.model_copy(update=other)
        assert rule in findings(evaluate(_acknowledging(iris, wrong), ours, champion(trained)))
    spent = champion(trained, spent={digest(acknowledged): "the key of another version"})
    assert rule in findings(evaluate(_acknowledging(iris, acknowledged), ours, spent))


def _acknowledging(use_case: UseCase, *given: Acknowledgement) -> UseCase:
    return replace(use_case, config=use_case.config.model_copy(update={"acknowledge": given}))


def test_a_stricter_rule_needs_no_acknowledgement(iris: UseCase, trained: Candidate) -> None:
    theirs = with_config(trained, "metrics", "accuracy", "limit", value=0.1)
    evaluation = evaluate(iris, trained, champion(trained, manifest=theirs.manifest))
    assert findings(evaluation) == [] and evaluation.verdict.passed


def test_the_law_is_the_stricter_of_both() -> None:
    ours = {
        "mae": Metric(direction="lower", limit=2.0, tolerance=0.5, primary=True),
        "r2": Metric(direction="higher", limit=0.5),
    }
    theirs = {
        "mae": {"direction": "lower", "limit": 1.0, "tolerance": 0.1, "primary": True},
        "r2": {"direction": "higher", "limit": 0.2, "tolerance": 0.3, "primary": False},
    }
    law = rules.strictest(ours, theirs)
    assert (law["mae"].limit, law["mae"].tolerance) == (1.0, 0.1)
    assert (law["r2"].limit, law["r2"].tolerance) == (0.5, 0.3)
    assert rules.strictest(ours, theirs, {"metrics.mae.limit"})["mae"].limit == 2.0


def test_a_metric_that_is_left_out_and_another_primary_one_are_named(iris: UseCase, trained: Candidate) -> None:
    metrics = trained.manifest["config"]["metrics"]
    theirs = {**metrics, "balanced_accuracy": {**metrics["accuracy"], "primary": True}}
    theirs["macro_f1"] = {**theirs["macro_f1"], "primary": False}
    manifest = with_config(trained, "metrics", value=theirs).manifest
    names = findings(evaluate(iris, trained, champion(trained, manifest=manifest)))
    assert {"metrics.balanced_accuracy", "primary"} <= set(names)


def test_another_baseline_is_named(iris: UseCase, trained: Candidate, project: Project) -> None:
    def easier(train: pd.DataFrame, holdout: pd.DataFrame) -> np.ndarray:
        return np.full(len(holdout), "setosa", dtype=object)

    other, _ = train(project, replace(iris, baseline=easier), again=True)
    assert findings(evaluate(iris, other, champion(trained))) == ["baseline"]


def test_rules_of_a_candidate_cannot_be_set_where_it_is_registered(project: Project, trained: Candidate) -> None:
    looser = load_use_case(project, "iris", ("metrics.accuracy.limit=0.1",))
    with pytest.raises(UserError, match="metrics.accuracy.limit is 0.1 here, but the candidate was trained under 0.9"):
        rules.refuse_others("iris", looser.config, trained.manifest["config"])


@pytest.mark.parametrize(
    ("rule", "before", "after", "path"),
    [
        ("threshold", None, 0.3, "threshold is"),
        ("threshold", {"rule": "cost"}, {"rule": "f1"}, "threshold.rule is f1 here, .* under cost"),
        ("costs", CONFIG["costs"], {"yes": {"no": 5}, "no": {"yes": 1}}, "costs.yes.no is 5.0 here, .* under 10.0"),
        ("coverage", None, {"level": 0.8}, "coverage is"),
        ("coverage", {"level": 0.9}, {"level": 0.9, "within": 0.2}, "coverage.within is 0.2 here, .* under 0.02"),
        (
            "slice_limits",
            {"plan": {"limit": 0.4}},
            {"plan": {"limit": 0.1}},
            "slice_limits.plan.limit is 0.1 here, .* under 0.4",
        ),
        ("slice_limits", {"plan": {"limit": 0.4}}, {}, "slice_limits is None here"),
    ],
)
def test_a_decision_of_a_candidate_is_its_own_too(rule: str, before: object, after: object, path: str) -> None:
    then, here = (UseCaseConfig.model_validate({**CONFIG, rule: value}) for value in (before, after))
    recorded = json.loads(json.dumps(then.model_dump(mode="json")))
    rules.refuse_others("churn", then, recorded)
    with pytest.raises(UserError, match=path):
        rules.refuse_others("churn", here, recorded)


def test_an_own_metric_cannot_shadow_one_of_the_machinery(iris: UseCase) -> None:
    flattering = replace(iris, evaluate=lambda *_: {"macro_f1": 1.0})
    with pytest.raises(UserError, match="evaluate returns macro_f1"):
        metrics_of(flattering, np.array([0, 1]), Predictions(np.array([1, 0]), np.eye(2)), np.array(["a", "b"]))


ROWS = pd.DataFrame({"id": range(40), "x": np.arange(40.0), "__target__": np.arange(40.0), "__baseline__": 0.0})


def test_holdout_rows_that_are_gone_or_have_another_target_refuse() -> None:
    compare = partial(holdout.compare, key=["id"], split=FORWARD)
    assert compare(ROWS, ROWS) == []
    gone = compare(ROWS.iloc[3:], ROWS)
    assert [(item.rule, item.blocks, item.old, item.new) for item in gone] == [("holdout.rows", True, 40, 37)]
    relabelled = compare(ROWS.assign(__target__=ROWS["__target__"].where(ROWS["id"] > 1, 99.0)), ROWS)
    assert [(item.rule, item.blocks, item.new) for item in relabelled] == [
        ("holdout.targets", True, 2),
        ("holdout", False, None),
    ][:1]
    more = compare(pd.concat([ROWS, ROWS.assign(id=ROWS["id"] + 100)]).assign(x=1.0), ROWS)
    assert [(item.rule, item.blocks) for item in more] == [("holdout", False)]
    assert "40 rows new" in more[0].detail and "39 with other inputs" in more[0].detail


def test_a_holdout_by_time_moves_on() -> None:
    days = ROWS.assign(id=pd.date_range("2024-01-01", periods=40))
    later = days.assign(id=days["id"] + pd.Timedelta(days=10), __target__=ROWS["__target__"] + 10)
    assert [
        item.rule for item in holdout.compare(later, days, ["id"], {"method": "time", "column": "id"}) if item.blocks
    ] == []
    thinned = later.drop(index=[0, 1])
    thinned = pd.concat([later.iloc[:1], thinned])
    findings = holdout.compare(thinned, days, ["id"], {"method": "time", "column": "id"})
    assert [(item.rule, item.new) for item in findings if item.blocks] == [("holdout.rows", 39)]


def test_few_holdout_rows_are_reported_and_fewer_than_configured_refuse(iris: UseCase, trained: Candidate) -> None:
    few = [item for item in evaluate(iris, trained, None).verdict.findings if item.rule == "checks.holdout_rows"]
    assert [item.blocks for item in few] == [False] and "51 holdout rows: the 95 % interval" in few[0].detail
    config = iris.config.model_copy(update={"checks": iris.config.checks.model_copy(update={"holdout_rows": 52})})
    assert findings(evaluate(replace(iris, config=config), trained, None)) == ["checks.holdout_rows"]


def test_predictions_that_are_no_better_than_dealt_out_ones_are_refused(iris: UseCase, trained: Candidate) -> None:
    classes, random = np.array(trained.manifest["classes"]), np.random.default_rng(0)
    rows = trained.holdout()
    truth = np.searchsorted(classes, rows["__target__"].to_numpy())
    own, guessed = (Predictions(values, np.eye(3)[values]) for values in (truth, random.permutation(truth)))
    assert judgement._by_chance(iris, truth, own, classes) == []
    [found] = judgement._by_chance(iris, truth, guessed, classes)
    assert found.rule == "checks.chance" and found.blocks and "of 100 deals; look for mixed up labels" in found.detail
    expected = replace(iris, config=iris.config.model_copy(update={"expect": "refused"}))
    assert judgement._by_chance(expected, truth, guessed, classes) == []


def test_a_metric_that_every_deal_has_alike_says_nothing_of_chance(project: Project) -> None:
    use_case = load_use_case(project, "ridership")
    metrics = {"bias": use_case.config.metrics["bias"].model_copy(update={"primary": True})}
    bias = replace(use_case, config=use_case.config.model_copy(update={"metrics": metrics}))
    truth = np.arange(50.0)
    assert judgement._by_chance(bias, truth, Predictions(truth[::-1].copy()), None) == []
    assert judgement._by_chance(use_case, truth, Predictions(truth + 1), None) == []
    assert judgement._by_chance(use_case, truth, Predictions(np.random.default_rng(1).permutation(truth)), None) != []


def test_a_metric_that_was_lost_by_small_steps_is_named(iris: UseCase, trained: Candidate) -> None:
    recent = (("1.0.2", {"macro_f1": 0.96}), ("1.0.1", {"macro_f1": 0.999}), ("1.0.0", {"macro_f1": 0.97}))
    evaluation = evaluate(iris, trained, champion(trained, recent=recent))
    assert evaluation.verdict.passed
    assert ["since version 1.0.1" in item.detail for item in evaluation.verdict.findings if item.rule == "drift"] == [True]


def test_a_new_input_that_alone_beats_the_champion_is_named(iris: UseCase, trained: Candidate) -> None:
    schema = {name: kind for name, kind in trained.manifest["problem"]["schema"].items() if name == "sepal_width"}
    alone = {**trained.manifest["single_inputs"], "petal_length": {"error": 0.0, "deviation": 0.0}}
    ours = Candidate(trained.path, {**trained.manifest, "single_inputs": alone})
    theirs = champion(trained, problem={**trained.manifest["problem"], "schema": schema})
    from mlops.training import judgement

    truth = np.arange(51) % 3
    wrong = Predictions((truth + 1) % 3, np.eye(3)[(truth + 1) % 3])
    findings = judgement.of_champion(iris, ours, theirs, truth, wrong, 0.9)
    assert "leaks.single_input.petal_length" in [item.rule for item in findings]


def test_a_saved_model_that_is_not_the_trained_one_is_refused(iris: UseCase, trained: Candidate, project: Project) -> None:
    other, _ = train(project, load_use_case(project, "iris", ("parameters.regularisation=50",)))
    (trained.path / "model/model.skops").unlink()
    shutil.copyfile(other.path / "model/model.skops", trained.path / "model/model.skops")
    refused = evaluate(iris, trained, None)
    assert findings(refused) == ["artifact.loaded_again"] and not refused.verdict.passed


def unsteady(inputs: pd.DataFrame, calls: list[int] = []) -> Predictions:
    calls.append(1)
    return Predictions(inputs["x"].to_numpy() + 1e-6 * (len(calls) > 1))


def of_the_batch(inputs: pd.DataFrame) -> Predictions:
    return Predictions((inputs["x"] - inputs["x"].mean()).to_numpy())


def of_the_position(inputs: pd.DataFrame) -> Predictions:
    return Predictions(inputs["x"].to_numpy() + np.arange(len(inputs)))


@pytest.mark.parametrize(
    ("predict", "way"),
    [(unsteady, "asked_twice"), (of_the_batch, "one_row_at_a_time"), (of_the_position, "in_another_order_of_rows")],
)
def test_a_model_whose_answer_depends_on_how_it_is_asked_is_refused(predict, way: str) -> None:
    rows = pd.DataFrame({"x": np.linspace(1, 2, 50)})
    recorded = Predictions(rows["x"].to_numpy()) if predict is unsteady else predict(rows)
    assert [item.rule for item in artifact_check.check(predict, rows, recorded)] == [f"artifact.{way}"]


def test_the_last_digits_may_differ() -> None:
    rows = pd.DataFrame({"x": np.linspace(1, 2, 50)})
    recorded = Predictions(rows["x"].to_numpy() * (1 + 1e-12))
    assert artifact_check.check(lambda part: Predictions(part["x"].to_numpy()), rows, recorded) == []


def test_the_folder_of_a_candidate_is_what_is_judged(iris: UseCase, trained: Candidate, tmp_path: Path) -> None:
    shutil.copytree(trained.path, tmp_path / "moved")
    (tmp_path / "moved/model/model.skops").write_bytes(b"")
    assert findings(evaluate(iris, Candidate(tmp_path / "moved", trained.manifest), None)) == ["artifact.load"]
