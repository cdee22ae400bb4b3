"""Evaluation: challenger, champion and baseline on the same holdout rows, and what the gate makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops import tracking
from mlops.errors import UserError, first_line
from mlops.metrics.measures import Predictions, encode, paired_bootstrap
from mlops.training import checks, data_rules, judgement
from mlops.training.candidate import BASELINE, PREDICTION, PROBABILITY, TRUTH, Candidate
from mlops.training.evaluation import Champion, Evaluation
from mlops.training.findings import idle
from mlops.training.fitting import as_truth, metrics_of, one_hot, predict, primary_measure
from mlops.training.gate import decide, goodness
from mlops.trust import Untrusted

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops.use_case import UseCase


def evaluate(use_case: UseCase, candidate: Candidate, champion: Champion | None) -> Evaluation:
    """Ask the gate about a candidate, beside the champion where there is one that answers the same question.

    Raises UserError where the champion's model does not run with the code of today.
    """
    import numpy as np

    config, holdout = use_case.config, candidate.holdout()
    classes = np.array(candidate.manifest["classes"]) if candidate.manifest["classes"] else None
    truth = as_truth(holdout[TRUTH], classes)
    predictions, simple = recorded(holdout, PREDICTION, classes), recorded(holdout, BASELINE, classes)
    new_question = champion is not None and champion.target_number != config.target.number
    rival = None if new_question else champion
    broken = [*judgement.of_rules(use_case, candidate, holdout, rival), *data_rules.findings(config, candidate, rival)]
    findings = judgement.judged(use_case, candidate, broken, rival)
    differs = [] if rival is None else differences(candidate.manifest["problem"], rival.problem)
    differs = judgement.not_excused(differs, findings)
    theirs = None if rival is None or differs else _predictions_of(use_case, rival, holdout, classes)
    measured = metrics_of(use_case, truth, predictions, classes)
    findings = [*findings, *judgement.of_candidate(use_case, candidate, holdout, truth, predictions)]
    if rival is not None and theirs is not None:
        findings += judgement.of_champion(use_case, candidate, rival, truth, theirs, measured[config.primary])
    findings = judgement.judged(use_case, candidate, findings, rival)
    findings += idle(findings, config.acknowledge)
    verdict = decide(
        judgement.law(config, rival, findings),
        measured,
        metrics_of(use_case, truth, simple, classes),
        None if theirs is None else metrics_of(use_case, truth, theirs, classes),
        differs,
        None if theirs is None else _interval(use_case, predictions, theirs, truth, classes),
        new_question,
        findings,
        _interval(use_case, predictions, simple, truth, classes) if config.expect else None,
    )
    checked = checks.run(config, candidate.manifest, holdout, truth, predictions, classes, primary_measure(use_case, classes))
    number = champion.number if champion else None
    threshold = candidate.manifest.get("threshold", {}).get("value")
    return Evaluation(
        holdout, truth, predictions, simple, theirs, classes, number, checks.judged(verdict, checked), threshold, checked
    )


def _predictions_of(use_case: UseCase, champion: Champion, holdout: pd.DataFrame, classes: np.ndarray | None) -> Predictions:
    """What the champion says of the holdout rows; its model may name functions of the use case that are no longer there."""
    folder = champion.fetch()
    try:
        model = tracking.load_model(folder, use_case.config.serving.trust)
        return predict(model, holdout[list(champion.problem["schema"])], classes)
    except Untrusted:
        raise
    except Exception as error:
        raise UserError(
            f"champion {use_case.name} {champion.number} does not run with this code ({first_line(error)}): restore what "
            f"it needs in src/use_cases/{use_case.name}, or raise target.number, so that it is not asked"
        ) from error


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What two problems do not share, of `target`, `split` and `schema`.

    A champion can be asked as long as every input that it needs is there in the same type; new inputs beside them are
    no difference.
    """
    differing = [part for part in ("target", "split") if ours[part] != theirs[part]]
    missing = [name for name, kind in theirs["schema"].items() if ours["schema"].get(name) != kind]
    return [*differing, f"schema (input {missing[0]})"] if missing else differing


def _interval(
    use_case: UseCase, predictions: Predictions, theirs: Predictions, truth: np.ndarray, classes: np.ndarray | None
) -> tuple[float, float]:
    """The 95 % interval of the primary metric's improvement on others' predictions, above 0 where the candidate is better."""
    config = use_case.config
    rule, measure = config.metrics[config.primary], primary_measure(use_case, classes)

    def good(by: Predictions, true: np.ndarray) -> float:
        return goodness(rule.direction, measure(true, by))

    return paired_bootstrap(good, predictions, theirs, truth, config.bootstrap.resamples, config.bootstrap.block, config.seed)


def recorded(holdout: pd.DataFrame, column: str, classes: Sequence[Any] | np.ndarray | None) -> Predictions:
    """The predictions that a column of the holdout records."""
    import numpy as np

    if classes is None:
        return Predictions(holdout[column].to_numpy(dtype=float))
    values = encode(holdout[column].to_numpy(), np.asarray(classes))
    if column == BASELINE:
        return Predictions(values, one_hot(values, len(classes)))
    return Predictions(values, holdout[[PROBABILITY.format(name) for name in classes]].to_numpy())
