"""The probabilities of a trained classifier: what a bundle says of them, and the proof that its form gives the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlops.bundle.proof import NotConverted, compare
from mlops.errors import UserError
from mlops.serving.extras import PROBABILITIES
from mlops.serving.signature import Rows

RECORDED = "__probability_{}__"  # the columns of the holdout with what the trained model predicted, written by training
TOLERANCE = 1e-9


class Scores(NamedTuple):
    """Classes in the model's order, probabilities [rows, classes] of the holdout, and the threshold, where there is one."""

    classes: list[Any]
    holdout: np.ndarray
    threshold: dict[str, Any] | None


def of_model(trained: Callable[[Rows, Any], Any], holdout: Rows, frame: Any, candidate: Path) -> Scores | None:
    """The scores of a classifier, as training recorded them where it did; None for a model that gives no probabilities.

    Raises UserError where the loaded model gives others than were recorded.
    """
    estimator = getattr(trained, "estimator", None)
    classes = getattr(estimator, "classes_", None)
    if not hasattr(estimator, "predict_proba") or not isinstance(classes, np.ndarray) or classes.ndim != 1:
        return None
    given = np.asarray(trained(holdout, PROBABILITIES), dtype=np.float64)
    names = [RECORDED.format(name) for name in classes.tolist()]
    if set(names) <= set(frame.columns):
        recorded = frame[names].to_numpy(dtype=np.float64)
        if recorded.shape != given.shape or not np.max(np.abs(recorded - given)) <= TOLERANCE:
            raise UserError(f"{candidate}: the loaded model gives other probabilities than training recorded; train again")
        given = recorded
    return Scores(classes.tolist(), given, _threshold(estimator))


def _threshold(estimator: Any) -> dict[str, Any] | None:
    if not has_threshold(estimator):
        return None
    classes, positive = estimator.classes_.tolist(), estimator.pos_label
    index = classes.index(positive)
    return {"value": float(estimator.threshold), "index": index, "labels": [classes[1 - index], classes[index]]}


def of_candidate(candidate: Path) -> dict[str, Any]:
    """What training decided of intervals, sets and contributions, for the manifest; empty where it decided nothing."""
    manifest = _manifest(candidate)
    return {name: manifest[name] for name in ("coverage", "contributions") if manifest.get(name)}


def _manifest(candidate: Path) -> dict[str, Any]:
    path = candidate / "manifest.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def has_threshold(estimator: Any) -> bool:
    """Whether a model predicts by a fixed threshold of a probability."""
    from sklearn.model_selection import FixedThresholdClassifier

    return isinstance(estimator, FixedThresholdClassifier) and estimator.response_method == "predict_proba"


def plain(estimator: Any) -> Any:
    """The model below a threshold, which is what has an ONNX form."""
    return estimator.estimator_ if has_threshold(estimator) else estimator


def onnx_layout(raw: bytes, known: Scores | None) -> dict[str, Any]:
    """What the layout of an ONNX model says of its probabilities: the name of their output, and the threshold."""
    import onnx

    outputs = [output.name for output in onnx.load_from_string(raw).graph.output]
    if known is None or len(outputs) < 2:
        return {}
    return {"scores": outputs[1]} | ({"threshold": known.threshold} if known.threshold else {})


def proved(known: Scores | None, predict: Callable[[], Any]) -> dict[str, Any]:
    """The manifest's part on probabilities, with the evidence that a form gives those of the trained model.

    Raises NotConverted where it gives others: equal labels alone would hide it.
    """
    if known is None:
        return {}
    try:
        evidence = compare(known.holdout, np.asarray(predict(), dtype=np.float64))
    except NotConverted as error:
        raise NotConverted(f"probabilities: {error}") from None
    return described(known) | {"scores_evidence": evidence}


def described(known: Scores | None) -> dict[str, Any]:
    """The manifest's part on probabilities."""
    if known is None:
        return {}
    threshold = known.threshold
    decision = {"threshold": {"value": threshold["value"], "positive": threshold["labels"][1]}} if threshold else {}
    return {"probabilities": {"classes": known.classes}, **decision}
