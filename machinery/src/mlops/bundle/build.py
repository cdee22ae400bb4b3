"""Builds a bundle from a candidate folder: ONNX where it gives the trained model's answers, else skops, else the MLflow model.

Deterministic: the same candidate and version give the same bytes, so that two builds of one version have one digest.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlops import files, folders, trust
from mlops.bundle import categories, scores
from mlops.bundle.holdout import as_array, as_recorded, example, expected, typed
from mlops.bundle.proof import NotConverted, check_probes, compare, probe
from mlops.bundle.scores import Scores
from mlops.errors import UserError
from mlops.serving import model as models
from mlops.serving.extras import PROBABILITIES
from mlops.serving.manifest import Bundle, columns_of, seal, verify
from mlops.serving.model import frame_to_rows
from mlops.serving.signature import Column, InvalidRequest, Rows, Signature

JOINED_ROWS = 512
CHUNK = 256  # rows at once for a graph that compares each with all training rows: its memory is their product
PREDICTED = "__prediction__"  # the column of the holdout with what the trained model predicted, written by training


class Reader(NamedTuple):
    """What the configuration of who bundles lets a model load."""

    trusted: tuple[str, ...]
    allow_pickle: bool


class Yardstick(NamedTuple):
    """What a form of the model is held to: the trained model's function, the holdout, and what training recorded on it."""

    trained: models.Predict
    holdout: Rows
    recorded: np.ndarray
    scores: Scores | None = None


def build(
    candidate: Path,
    to: Path,
    use_case: str,
    version: dict[str, Any],
    *,
    form: str | None = None,
    allow_pickle: bool = False,
    trusted: tuple[str, ...] = (),
    personal: tuple[str, ...] = (),
) -> Bundle:
    """The bundle of a candidate folder, written to `to` (replaced in one step) and verified.

    `version` is what /version answers: number, version, run, commit, metrics. `form` forces onnx, skops or pyfunc.
    `trusted` and `allow_pickle` are the configuration's, see `mlops.trust`; `personal` names columns that a prediction log
    leaves out. Raises UserError where nothing can be bundled.
    """
    source, reader = candidate / "model", Reader(trusted, allow_pickle)
    flavors = read_model(source) if allow_pickle else checked_model(source, trusted)
    raw = json.loads(flavors["signature"]["inputs"])
    params = tuple(json.loads(flavors["signature"].get("params") or "[]"))
    frame = _holdout(candidate, columns_of(raw, str(source)))
    signature = Signature(typed(columns_of(raw, str(source)), frame), None, params)
    trained = models.load_pyfunc(source, signature, trusted, allow_pickle)
    with _in_one_line(candidate):
        holdout = frame_to_rows(frame, signature)
        recorded = _prove(frame, trained(holdout, None), candidate)
        known = scores.of_model(trained, holdout, frame, candidate) if predict_method(flavors) == "predict" else None
        yardstick = Yardstick(trained, holdout, recorded, known)
        signature = probe(trained, signature, holdout)
        signature = _with_categories(trained, signature, holdout, source, flavors, reader)

    files.make_folder(to.parent)
    with folders.work_folder(to.parent) as temporary:
        folder = temporary / "bundle"
        folder.mkdir()
        content = _fill(folder, source, flavors, signature, yardstick, form, reader)
        content |= {
            "use_case": use_case,
            "version": version,
            "signature": _described(signature, flavors),
            "example": (shown := example(holdout, signature)),
            "example_prediction": expected(trained, signature, shown),
            "personal": sorted(personal),
            **scores.of_candidate(candidate),
        }
        seal(folder, content)
        _replace(folder, to)
    return verify(to)


def _described(signature: Signature, flavors: dict[str, Any]) -> dict[str, Any]:
    """The signature as the manifest holds it."""
    return {
        "inputs": [asdict(column) for column in signature.columns],
        "outputs": json.loads(flavors["signature"].get("outputs") or "[]"),
        "params": list(signature.params),
        "limit": signature.limit,
    }


def read_model(folder: Path) -> dict[str, Any]:
    """The MLmodel file of an MLflow model folder. Raises UserError where there is none or it has no signature."""
    return _with_signature(folder, trust.description(folder))


def checked_model(folder: Path, trusted: Collection[str]) -> dict[str, Any]:
    """The MLmodel file of a model that may be loaded. Raises Untrusted, UserError where it has no signature."""
    return _with_signature(folder, trust.check_model(folder, trusted))


def _with_signature(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    if not (content.get("signature") or {}).get("inputs"):
        raise UserError(
            f"{folder / trust.DESCRIPTION} has no signature: log the model with one, by which a server checks requests"
        )
    return content


def _replace(folder: Path, to: Path) -> None:
    old = to.with_name(f".{to.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if to.exists():
        to.rename(old)
    folder.rename(to)
    shutil.rmtree(old, ignore_errors=True)


def _holdout(candidate: Path, columns: Sequence[Column]) -> Any:
    import pandas as pd

    path = candidate / "holdout.parquet"
    if not path.is_file():
        raise UserError(f"{path} is missing: the bundle's answers are compared with the trained model's on the holdout")
    frame = pd.read_parquet(path)
    lacking = [column.name for column in columns if column.required and column.name not in frame]
    lacking += [PREDICTED] if PREDICTED not in frame else []
    if lacking or frame.empty:
        raise UserError(f"{path} has no rows or lacks the column {', '.join(lacking)}: train again")
    return frame


@contextmanager
def _in_one_line(candidate: Path) -> Iterator[None]:
    """A row of its own holdout that the server would refuse says that the model cannot be served."""
    try:
        yield
    except InvalidRequest as error:
        what = error.message.removeprefix("Invalid input. ").rstrip(".")
        raise UserError(
            f"{candidate}: a server would refuse rows of the model's own holdout ({what}); "
            "give the column another type or fill the gaps in features, and train again"
        ) from None


def _prove(frame: Any, answers: models.Outputs, candidate: Path) -> np.ndarray:
    """What training recorded as the predictions of the holdout, after the loaded model was held to it.

    They were written before anything was converted or brought into a request's form: whatever is wrong on that way, in rows,
    model or types, shows here. Raises UserError where the model answers something else.
    """
    recorded = as_array(frame[PREDICTED].to_numpy())
    try:
        compare(recorded, as_recorded(answers))
    except NotConverted as error:
        raise UserError(
            f"{candidate}: the loaded model does not predict what training recorded on the holdout ({error}); train again, "
            "and look for what the model keeps outside of itself"
        ) from None
    return recorded


def _with_categories(
    trained: models.Predict, signature: Signature, holdout: Rows, source: Path, flavors: dict[str, Any], reader: Reader
) -> Signature:
    """The signature with the categories of each column whose others the model refuses; only scikit-learn models say them."""
    try:
        return categories.limited(trained, signature, holdout, _estimator(source, flavors, signature, reader))
    except NotConverted:
        return signature


def _fill(
    folder: Path,
    source: Path,
    flavors: dict[str, Any],
    signature: Signature,
    yardstick: Yardstick,
    form: str | None,
    reader: Reader,
) -> dict[str, Any]:
    """Write the model in the best form and return the manifest's part on it, with why the better ones were left."""
    refused: dict[str, str] = {}
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "onnx": lambda: _write_onnx(folder, source, flavors, signature, yardstick, reader),
        "skops": lambda: _write_skops(folder, source, flavors, signature, yardstick, reader),
        "pyfunc": lambda: _write_pyfunc(folder, source, flavors, reader.allow_pickle) | scores.described(yardstick.scores),
    }
    if form is not None and form not in steps:
        raise UserError(f"unknown format {form}: one of {', '.join(steps)}")
    for name, write in steps.items():
        if form not in (None, name):
            continue
        try:
            return {"format": name, "passed_over": refused} | write()
        except NotConverted as error:
            refused[name] = str(error)
    reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
    raise UserError(f"{source} cannot be bundled: {reasons}")


def _write_onnx(
    folder: Path, source: Path, flavors: dict[str, Any], signature: Signature, yardstick: Yardstick, reader: Reader
) -> dict[str, Any]:
    from mlops.bundle import onnx_form

    estimator = _estimator(source, flavors, signature, reader)
    trained, holdout = yardstick.trained, yardstick.holdout
    expected = trained(holdout, None)
    if isinstance(expected, dict):
        raise NotConverted("the model answers named columns")
    reasons = []
    # A wide column keeps its digits in an input of integers alone.
    wide = any(column.wide for column in signature.columns)
    for inputs in ("typed columns",) if wide else onnx_form.LAYOUTS:
        try:
            raw, output = onnx_form.convert(scores.plain(estimator), signature, inputs, predict_method(flavors))
            layout = {"inputs": inputs, "output": output, "dtype": _kind(expected), "dimensions": expected.ndim}
            layout["opsets"] = onnx_form.opsets(raw)
            if onnx_form.has_loop(raw):
                layout["chunk"] = CHUNK
            layout |= scores.onnx_layout(raw, yardstick.scores)
            converted = models.load_onnx(raw, signature, layout)
            evidence = _evidence(yardstick, converted(holdout, None))
            facts = scores.proved(yardstick.scores, lambda: converted(holdout, PROBABILITIES))
            check_probes(trained, converted, signature, holdout)
        except NotConverted as error:
            reasons.append(f"as {inputs}: {error}")
            continue
        layout["batchable"] = _batchable(raw, signature, layout, holdout)
        (folder / models.ONNX_FILE).write_bytes(raw)
        return {"onnx": layout, "evidence": evidence, **facts}
    raise NotConverted("; ".join(reasons))


def _batchable(raw: bytes, signature: Signature, layout: dict[str, Any], holdout: Rows) -> bool:
    """Whether a row's answer is the same to the last bit alone and in a batch of up to models.MAX_BATCH_ROWS rows.

    Only then may a server score the rows of several requests together. Sums that are taken in another order differ a little.
    A graph that goes through its training rows, as nearest neighbours and Gaussian processes do, is not tried: there a row
    costs the same in company, and thousands of calls cost minutes.
    """
    from mlops.bundle.onnx_form import has_loop

    if has_loop(raw):
        return False
    count = min(holdout.count, JOINED_ROWS)

    def answers(predict: models.Predict, size: int) -> list[Any]:
        parts = [holdout.part(start, min(start + size, count)) for start in range(0, count, size)]
        return list(np.concatenate([predict(part, None) for part in parts]).tolist())

    for threads in (1, 2, 4):  # a model may share its work out in another way for each
        predict = models.load_onnx(raw, signature, layout, threads)
        alone = answers(predict, 1)
        if any(answers(predict, size) != alone for size in range(2, models.MAX_BATCH_ROWS + 1)):
            return False
    return True


def _kind(expected: np.ndarray) -> str:
    return "object" if expected.dtype.kind in "UO" else expected.dtype.str


def _evidence(yardstick: Yardstick, answers: models.Outputs) -> dict[str, Any]:
    """The evidence that a form predicts what training recorded; raises NotConverted where it does not."""
    return compare(yardstick.recorded, as_recorded(answers))


def _estimator(source: Path, flavors: dict[str, Any], signature: Signature, reader: Reader) -> Any:
    """The scikit-learn model of the folder, loaded without running code that it brings."""
    flavor = flavors["flavors"].get("sklearn")
    if flavor is None:
        raise NotConverted("not a scikit-learn model")
    if signature.params:
        raise NotConverted("the model takes params")
    if flavor.get("serialization_format") != "skops":
        raise NotConverted(f"the model is stored as {flavor.get('serialization_format')}")
    return trust.load(trust.model_file(source, flavors), reader.trusted)


def predict_method(flavors: dict[str, Any]) -> str:
    """The method of a scikit-learn model that is its prediction."""
    return str(flavors["flavors"]["python_function"].get("predict_fn", "predict"))


def _write_skops(
    folder: Path, source: Path, flavors: dict[str, Any], signature: Signature, yardstick: Yardstick, reader: Reader
) -> dict[str, Any]:
    estimator = _estimator(source, flavors, signature, reader)
    flavor = flavors["flavors"]["sklearn"]
    method = predict_method(flavors)
    rows = models.to_frame(yardstick.holdout, signature)
    evidence = _evidence(yardstick, np.asarray(getattr(estimator, method)(rows)))
    facts = scores.proved(yardstick.scores, lambda: estimator.predict_proba(rows))
    shutil.copyfile(source / flavor["pickled_model"], folder / models.SKOPS_FILE)
    return {"skops": {"needs": trust.needs(folder / models.SKOPS_FILE), "method": method}, "evidence": evidence, **facts}


def _write_pyfunc(folder: Path, source: Path, flavors: dict[str, Any], allow_pickle: bool) -> dict[str, Any]:
    pickled = holds_pickle(source, flavors)
    if pickled and not allow_pickle:
        raise trust.Untrusted(f"{source} holds a pickle, which can run any code when it is loaded; {trust.ONLY}")
    shutil.copytree(
        source, folder / models.PYFUNC_FOLDER, ignore=shutil.ignore_patterns("registered_model_meta", "__pycache__")
    )
    return {"pyfunc": {"pickle": pickled, "allow_pickle": allow_pickle}, "evidence": {"compared": "the trained model itself"}}


def holds_pickle(source: Path, flavors: dict[str, Any]) -> bool:
    """Whether loading the MLflow model unpickles something."""
    if any(path.suffix in (".pkl", ".pickle", ".joblib", ".cloudpickle") for path in source.rglob("*")):
        return True
    formats = [flavor.get("serialization_format") for flavor in flavors["flavors"].values()]
    return any(name in ("pickle", "cloudpickle", "joblib") for name in formats)
