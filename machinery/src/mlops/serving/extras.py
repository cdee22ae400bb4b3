"""What an answer holds beside the predictions where a request includes it: probabilities, intervals or sets, contributions.

A request names them under `include`; without it every answer is as it was. What there is stands in the bundle's manifest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mlops.serving.signature import InvalidRequest, Rows

# The params by which MLflow's protocol asks for probabilities in place of labels; the model's function takes them as well.
PROBABILITIES = {"predict_method": "predict_proba"}
# The metrics of probabilities: where a version has one, the prediction log keeps these, so that it can be watched.
OF_PROBABILITIES = frozenset(
    """average_precision brier calibration_error log_loss precision_at_recall recall_at_precision roc_auc""".split()
)
INCLUDE = re.compile(r'include="?([\w,]+)"?')
Predict = Callable[[Rows, Any], Any]
Extras = dict[str, Any]


def asks_probabilities(params: Any) -> bool:
    """Whether params ask for probabilities in place of labels."""
    return isinstance(params, dict) and params.get("predict_method") == "predict_proba"


def available(content: dict[str, Any]) -> tuple[str, ...]:
    """What a bundle's manifest allows to be included."""
    coverage = content.get("coverage")
    names = [name for name in ("probabilities", "contributions") if content.get(name)]
    names += ["intervals"] if coverage and "width" in coverage else []
    names += ["sets"] if coverage and "limits" in coverage and content.get("probabilities") else []
    return tuple(sorted(names))


def logged(content: dict[str, Any]) -> tuple[str, ...]:
    """What a prediction log keeps beside the predictions: what a threshold decides on, or a metric is taken of."""
    metrics = content["version"].get("metrics") or {}
    needed = content.get("threshold") or OF_PROBABILITIES & metrics.keys()
    return ("probabilities",) if content.get("probabilities") and needed else ()


def read_include(names: Any, content: dict[str, Any]) -> tuple[str, ...]:
    """What a request includes. Raises InvalidRequest for what this model does not have."""
    allowed = available(content)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest("Invalid input. include must be a list of names.", "include")
    if not set(names) <= set(allowed):
        hint = f"there are: {', '.join(allowed)}" if allowed else "this model has nothing to include"
        raise InvalidRequest(
            f"Invalid input. include names what there is not; {hint}.", "include", code="INVALID_PARAMETER_VALUE"
        )
    return tuple(dict.fromkeys(names))


def read_accept(accept: str, content: dict[str, Any]) -> tuple[str, ...]:
    """What the header accept includes, as in `application/json;include=probabilities`. Raises InvalidRequest."""
    match = INCLUDE.search(accept) if "include" in accept else None
    return read_include(match[1].split(","), content) if match else ()


def read_params(params: Any, content: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """The params for the model, and what they include beside. Raises InvalidRequest for a method that the model lacks."""
    own = {item["name"] for item in content["signature"]["params"]}
    if not isinstance(params, dict) or "predict_method" in own:
        return params, ()
    if params.get("predict_method", "predict") not in ("predict", "predict_proba"):
        raise InvalidRequest("predict_method is predict or predict_proba.", "predict_method", code="INVALID_PARAMETER_VALUE")
    if asks_probabilities(params) and not content.get("probabilities"):
        raise InvalidRequest("This model has no probabilities.", "predict_method", code="INVALID_PARAMETER_VALUE")
    included = read_include(params["include"], content) if "include" in params and "include" not in own else ()
    rest = {name: value for name, value in params.items() if name in own}
    return (PROBABILITIES if asks_probabilities(params) else rest or None), included


def compute(predict: Predict, content: dict[str, Any], rows: Rows, outputs: Any, names: Iterable[str]) -> Extras:
    """Name → array with one row a row, or a list of sets of classes."""
    computed: Extras = {}
    scores = np.empty(0)
    for name in names:
        if name in ("probabilities", "sets") and not len(scores):
            scores = np.asarray(predict(rows, PROBABILITIES), dtype=np.float64)
        if name == "probabilities":
            computed[name] = scores
        elif name == "sets":
            limits = np.array([content["coverage"]["limits"][str(label)] for label in classes_of(content)])
            computed[name] = 1 - scores <= limits
        elif name == "intervals":
            width = content["coverage"]["width"]
            computed[name] = np.column_stack([np.ravel(outputs) - width, np.ravel(outputs) + width])
        else:
            computed[name] = _contributions(content, rows)
    return computed


def _contributions(content: dict[str, Any], rows: Rows) -> np.ndarray:
    """The base, and of each input coefficient times distance from the mean: together what the model says."""
    names = inputs_of(content)
    columns = [np.full(rows.count, content["contributions"]["base"])]
    for place, name in enumerate(names):
        part = content["contributions"]["inputs"][name]
        columns.append((rows.column(place).astype(np.float64) - part["mean"]) * part["coefficient"])
    return np.column_stack(columns)


def inputs_of(content: dict[str, Any]) -> list[str]:
    """The names of the model's own inputs, also where requests hold raw rows."""
    signature = content["raw"]["model"] if content.get("raw") else content["signature"]
    return [column["name"] for column in signature["inputs"]]


def classes_of(content: dict[str, Any]) -> list[Any]:
    """The classes of the probabilities, in their order."""
    return list(content["probabilities"]["classes"])


def as_json(extras: Extras, content: dict[str, Any]) -> dict[str, Any]:
    """Name → one JSON value a row: objects by class or input, [low, high], or the classes of a set."""
    fields: dict[str, Any] = {}
    for name, values in extras.items():
        if name == "sets":
            labels = classes_of(content)
            fields[name] = [[label for label, inside in zip(labels, row, strict=True) if inside] for row in values.tolist()]
            continue
        listed = _finite(values)
        keys = keys_of(name, content)
        fields[name] = listed if name == "intervals" else [dict(zip(keys, row, strict=True)) for row in listed]
    return fields


def keys_of(name: str, content: dict[str, Any]) -> list[str]:
    """What the columns of an extra are called."""
    if name == "intervals":
        return ["low", "high"]
    if name == "contributions":
        return ["base", *inputs_of(content)]
    return [str(label) for label in classes_of(content)]


def as_columns(extras: Extras, content: dict[str, Any]) -> dict[str, np.ndarray]:
    """One column a value, as in `probabilities_yes` or `intervals_low`."""
    return {
        f"{name}_{key}": np.asarray(values)[:, place]
        for name, values in extras.items()
        for place, key in enumerate(keys_of(name, content))
    }


def _finite(values: np.ndarray) -> list[Any]:
    if np.isfinite(values).all():
        return list(values.tolist())
    return [[value if np.isfinite(value) else None for value in row] for row in values.tolist()]


def deciding(predict: Predict, scores: Callable[[Rows], np.ndarray], layout: dict[str, Any]) -> Predict:
    """A model's function that gives probabilities where params ask for them, and labels by the threshold where it has one."""
    if "scores" not in layout:
        return predict
    threshold = layout.get("threshold")
    if threshold is None:
        return lambda rows, params: scores(rows) if asks_probabilities(params) else predict(rows, params)
    value, index = threshold["value"], threshold["index"]
    labels = np.array(threshold["labels"]).astype(layout["dtype"])

    def answer(rows: Rows, params: Any) -> Any:
        given = scores(rows)
        return given if asks_probabilities(params) else labels[(given[:, index] >= value).astype(int)]

    return answer
