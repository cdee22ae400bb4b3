"""The judgement of a candidate beside its metrics: rules, holdout, leaks, and the saved model itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops import tracking
from mlops.config import Metric, UseCaseConfig
from mlops.errors import first_line
from mlops.metrics.measures import Predictions, bootstrap
from mlops.training import artifact_check, holdout, rules
from mlops.training.candidate import Candidate
from mlops.training.findings import Finding, acknowledged
from mlops.training.fitting import error_of, predict, primary_measure
from mlops.training.gate import goodness

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops.training.evaluation import Champion
    from mlops.use_case import UseCase

# Of fewer holdout rows the interval is reported, as it is wide.
MANY_ROWS = 100
# Of how many deals of the predictions 95 % have to be worse than the predictions, and on how many rows at most that is tried.
DEALS, DEALT_ROWS = 100, 20_000


def of_rules(use_case: UseCase, candidate: Candidate, rows: pd.DataFrame, champion: Champion | None) -> list[Finding]:
    """What differs from the champion's rules and holdout, with what was acknowledged; nothing where there is no champion."""
    if champion is None or not champion.manifest:
        return []
    theirs, ours = champion.manifest, candidate.manifest
    findings = rules.changes(ours["config"], theirs["config"])
    their_rows = champion.holdout() if champion.holdout else None
    key, split = list(use_case.config.key), ours["config"]["split"]
    if their_rows is not None and not any(item.rule == "key" or item.rule.startswith("split.") for item in findings):
        findings += holdout.compare(rows, their_rows, key, split)
    digests = [manifest.get("baseline_digest", "") for manifest in (theirs, ours)]
    same_data = theirs.get("parts", {}).get("data") == ours.get("parts", {}).get("data")
    other = same_data and their_rows is not None and holdout.baseline_differs(rows, their_rows, key)
    if all(digests) and (digests[0] != digests[1] or other):
        findings.append(rules.change("baseline", *digests))
    return findings


def of_candidate(
    use_case: UseCase, candidate: Candidate, rows: pd.DataFrame, truth: np.ndarray, predictions: Predictions
) -> list[Finding]:
    """What the checks of training found, whether the holdout has enough rows, whether the saved model is that one."""
    import numpy as np

    classes = candidate.manifest["classes"]
    known = np.array(classes) if classes else None
    findings = [Finding(**item) for item in candidate.manifest.get("checks", [])]
    findings += [*_few_rows(use_case, truth, predictions, known), *_by_chance(use_case, truth, predictions, known)]
    inputs = list(candidate.manifest["problem"]["schema"])
    try:
        model = tracking.load_model(candidate.path / "model", use_case.config.serving.trust)
        return [*findings, *artifact_check.check(lambda part: predict(model, part, known), rows[inputs], predictions)]
    except Exception as error:  # whatever keeps it from loading keeps it from being served
        return [*findings, Finding("artifact.load", f"the saved model cannot be loaded ({first_line(error)})")]


def of_champion(
    use_case: UseCase, candidate: Candidate, champion: Champion, truth: np.ndarray, theirs: Predictions, value: float
) -> list[Finding]:
    """A new input that alone beats the champion, and a recent version that was better by more than the tolerance."""
    config, classes = use_case.config, candidate.manifest["classes"]
    error = error_of(truth, theirs, classes)
    findings = []
    for name, alone in candidate.manifest.get("single_inputs", {}).items():
        if name not in champion.problem["schema"] and alone["error"] + 2 * alone["deviation"] < error:
            detail = f"the new input {name} alone beats champion {champion.number}: is it known when the model is asked?"
            findings.append(Finding(f"leaks.single_input.{name}", detail))
    return [*findings, *_lost_by_small_steps(config, champion, value)]


def judged(use_case: UseCase, candidate: Candidate, findings: Sequence[Finding], champion: Champion | None) -> list[Finding]:
    """The findings with the reasons of those that the configuration acknowledges."""
    return acknowledged(findings, use_case.config.acknowledge, champion.spent if champion else {}, candidate.key)


def law(config: UseCaseConfig, champion: Champion | None, findings: Sequence[Finding]) -> dict[str, Metric]:
    """The rules of the metrics: the stricter of ours and the champion's, but for those that were acknowledged."""
    theirs = champion.manifest["config"]["metrics"] if champion and champion.manifest else {}
    return rules.strictest(config.metrics, theirs, {item.rule for item in findings if item.reason})


def not_excused(differs: Sequence[str], findings: Sequence[Finding]) -> list[str]:
    """What two problems do not share, without a split whose every change was acknowledged."""
    split = [item for item in findings if item.rule == "key" or item.rule.startswith("split.")]
    excused = bool(split) and all(item.reason for item in split)
    return [part for part in differs if not (part == "split" and excused)]


def _few_rows(use_case: UseCase, truth: np.ndarray, predictions: Predictions, classes: np.ndarray | None) -> list[Finding]:
    config, size = use_case.config, len(truth)
    if size >= max(MANY_ROWS, config.checks.holdout_rows):
        return []
    measure = primary_measure(use_case, classes)
    low, high = bootstrap(measure, predictions, truth, config.bootstrap.resamples, config.bootstrap.block, config.seed)
    detail = f"{size} holdout rows: the 95 % interval of {config.primary} is {low:.4f} to {high:.4f}"
    few = size < config.checks.holdout_rows
    least = f"; {config.checks.holdout_rows} rows are the least, add data or enlarge split.holdout" if few else ""
    return [Finding("checks.holdout_rows", detail + least, few)]


def _by_chance(use_case: UseCase, truth: np.ndarray, predictions: Predictions, classes: np.ndarray | None) -> list[Finding]:
    """Whether the predictions are no better than the same ones dealt out to the rows at random, as of shuffled labels.

    A simple baseline does not show that: guesses in the classes' shares have a better macro-F1 than the most frequent class.
    """
    import numpy as np

    config = use_case.config
    if config.expect:  # the baseline has to be beaten beyond chance there
        return []
    random = np.random.default_rng(config.seed)
    rows = random.permutation(len(truth))[:DEALT_ROWS]
    truth, predictions = truth[rows], predictions.take(rows)
    measure, direction = primary_measure(use_case, classes), config.metrics[config.primary].direction
    own = goodness(direction, measure(truth, predictions))
    dealt = [goodness(direction, measure(truth, predictions.take(random.permutation(len(truth))))) for _ in range(DEALS)]
    as_good = sum(value >= own for value in dealt)
    if len(set(dealt)) == 1 or as_good < 0.05 * DEALS:  # a metric such as the bias is the same for each deal
        return []
    detail = (
        f"{config.primary} is what chance gives: the same predictions, dealt out to the rows at random, reach it in "
        f"{as_good} of {DEALS} deals; look for mixed up labels, or inputs that say more of the target"
    )
    return [Finding("checks.chance", detail)]


def _lost_by_small_steps(config: UseCaseConfig, champion: Champion, value: float) -> list[Finding]:
    rule = config.metrics[config.primary]
    known = [(number, metrics[config.primary]) for number, metrics in champion.recent if config.primary in metrics]
    known = known[: config.checks.versions]
    if not known:
        return []
    number, best = max(known, key=lambda item: goodness(rule.direction, item[1]))
    lost = goodness(rule.direction, best) - goodness(rule.direction, value)
    if number == champion.number or lost <= rule.tolerance:
        return []
    detail = (
        f"{config.primary} has lost {lost:.4f} since version {number} ({best:.4f}), more than the tolerance {rule.tolerance:g}"
    )
    return [Finding("drift", detail, False)]
