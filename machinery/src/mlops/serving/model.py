"""Loads a verified bundle and returns the function that predicts; imports only what the bundle's format needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from mlops import trust
from mlops.serving import graph
from mlops.serving.extras import asks_probabilities, deciding
from mlops.serving.manifest import Bundle
from mlops.serving.signature import NULL, NUMBERS, InvalidRequest, Rows, Signature, from_columns

Outputs = np.ndarray | dict[str, np.ndarray]
Predict = Callable[[Rows, Any], Outputs]
ONNX_FILE = "model.onnx"
SKOPS_FILE = "model.skops"
PYFUNC_FOLDER = "model"
MAX_BATCH_ROWS = 16  # rows of several requests that a server scores in one call at most


def load(bundle: Bundle, threads: int = 1, trusted: Collection[str] = (), allow_pickle: bool = False) -> Predict:
    """The bundle's predict function: rows and params to [rows] values, [rows, columns] values or named columns.

    `trusted` and `allow_pickle` are the reader's own; what the bundle says of itself is not asked. Raises Untrusted.
    """
    if bundle.format == "onnx":
        return _load_onnx_file(bundle, threads)
    if bundle.format == "skops":
        return _load_skops(bundle, trusted)
    return load_pyfunc(bundle.folder / PYFUNC_FOLDER, bundle.inputs, trusted, allow_pickle)


def _load_onnx_file(bundle: Bundle, threads: int) -> Predict:
    """The predict function of a bundle's ONNX model. Raises Untrusted for one that a build would not have written."""
    file = bundle.folder / ONNX_FILE
    model = file.read_bytes()
    try:
        graph.check(model)
        return load_onnx(model, bundle.inputs, bundle.content["onnx"], threads)
    except trust.Untrusted as error:
        raise trust.Untrusted(f"{file}: {error}") from None
    except Exception as error:  # ONNX Runtime has its own exceptions for whatever it does not take
        raise trust.failed(file, RuntimeError(str(error))) from error


def load_onnx(model: bytes, signature: Signature, layout: dict[str, Any], threads: int = 1) -> Predict:
    """A predict function on ONNX Runtime; `layout` says how columns become inputs and which output is the answer."""
    session = session_of(model, threads)
    outputs, dtype = [layout["output"]], np.dtype(layout["dtype"])
    flat, chunk = layout["dimensions"] == 1, layout.get("chunk")
    feed = _feed_matrix if layout["inputs"] == "matrix" else _feed_columns(signature, session)

    def run(inputs: dict[str, np.ndarray], count: int) -> np.ndarray:
        if not chunk or count <= chunk:
            values: np.ndarray = session.run(outputs, inputs)[0]
            return values
        parts = [{name: given[start : start + chunk] for name, given in inputs.items()} for start in range(0, count, chunk)]
        return np.concatenate([session.run(outputs, part)[0] for part in parts])

    def predict(rows: Rows, params: Any) -> Outputs:
        values = run(feed(rows), rows.count)
        if flat and values.ndim > 1:
            values = values.reshape(-1)
        return values if values.dtype == dtype else values.astype(dtype)

    return deciding(predict, lambda rows: session.run([layout["scores"]], feed(rows))[0], layout)


def session_of(model: bytes, threads: int) -> Any:
    """A session of ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A spinning thread pool takes the processor from the event loop.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _feed_matrix(rows: Rows) -> dict[str, np.ndarray]:
    return {"input": rows.matrix}  # type: ignore[dict-item]


def _feed_columns(signature: Signature, session: Any) -> Callable[[Rows], dict[str, np.ndarray]]:
    kinds = {"tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(string)": object, "tensor(bool)": bool}
    inputs = [(item.name, kinds[item.type]) for item in session.get_inputs()]

    def feed(rows: Rows) -> dict[str, np.ndarray]:
        return {name: _as_input(rows.column(place), kind).reshape(-1, 1) for place, (name, kind) in enumerate(inputs)}

    return feed


def _as_input(values: np.ndarray, kind: Any) -> np.ndarray:
    """A column in a graph's type; a missing text, which graphs do not have, as NULL, any other missing value as NaN."""
    if kind is object:
        return np.array([NULL if value is None else value for value in values.tolist()], dtype=object)
    return values if values.dtype == kind else values.astype(kind)


def _load_skops(bundle: Bundle, trusted: Collection[str]) -> Predict:
    method = bundle.content["skops"]["method"]
    if method not in trust.PREDICT:
        raise trust.Untrusted(f"the bundle {bundle.folder} would be asked by {method!r:.80}, which is no way to predict")
    model = trust.load(bundle.folder / SKOPS_FILE, trusted)
    answer = getattr(model, method)

    def predict(rows: Rows, params: Any) -> Outputs:
        function = model.predict_proba if asks_probabilities(params) else answer
        return _outputs(_call(function, to_frame(rows, bundle.inputs)))

    return predict


def load_pyfunc(folder: Path, signature: Signature, trusted: Collection[str] = (), allow_pickle: bool = False) -> Predict:
    """A predict function on an MLflow model folder: the trained model itself, as MLflow loads it.

    Raises Untrusted where it would run code, unless `allow_pickle` says that it may.
    """
    if not allow_pickle:
        trust.check_model(folder, trusted)
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    # A model that brings code would leave __pycache__ beside it: files that no manifest knows.
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        model = mlflow.pyfunc.load_model(str(folder))
    except Exception as error:
        raise trust.failed(folder, error) from (error if allow_pickle else None)
    finally:
        sys.dont_write_bytecode = writes

    raw = _estimator(model)
    estimator = raw if hasattr(raw, "predict_proba") else None
    # MLflow's check of its signature refuses gaps in whole numbers and booleans, which the model was trained with.
    unchecked = raw is not None and any(column.pandas for column in signature.columns)
    method = model.metadata.flavors["python_function"].get("predict_fn", "predict")

    def predict(rows: Rows, params: Any) -> Outputs:
        if asks_probabilities(params) and not signature.params and estimator is not None:
            return _outputs(_call(estimator.predict_proba, to_frame(rows, signature)))
        if unchecked:
            return _outputs(_call(getattr(raw, method), to_frame(rows, signature)))
        try:
            return _outputs(_call(lambda frame: model.predict(frame, params=params), to_frame(rows, signature)))
        except MlflowException:
            raise InvalidRequest(
                "Invalid input. The model refused the rows or the params.", code="INVALID_PARAMETER_VALUE"
            ) from None

    setattr(predict, "estimator", estimator)
    return predict


def _estimator(model: Any) -> Any:
    """The scikit-learn model behind MLflow's; None where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        raw = model.get_raw_model()
    except (MlflowException, AttributeError, NotImplementedError):
        return None
    return raw if hasattr(raw, "get_params") else None


def _call(answer: Callable[[Any], Any], frame: Any) -> Any:
    """A model's answer; a value that the model itself refuses is the client's mistake, as it is for MLflow."""
    try:
        return answer(frame)
    except (ValueError, TypeError):
        raise InvalidRequest("Invalid input. The model cannot be evaluated on these rows.") from None


def to_frame(rows: Rows, signature: Signature) -> Any:
    """The rows as a pandas DataFrame with the columns and types of the signature."""
    import pandas as pd

    kinds = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32"}
    frame: dict[str, Any] = {}
    for place, column in enumerate(signature.columns):
        values = rows.column(place)
        if column.pandas:
            frame[column.name] = pd.Series(values, dtype=column.pandas)
        else:
            frame[column.name] = values.astype(kinds[column.type]) if column.type in NUMBERS else values
    return pd.DataFrame(frame)


def frame_to_rows(frame: Any, signature: Signature) -> Rows:
    """Rows of a pandas DataFrame that has the signature's columns. Raises InvalidRequest for a value that does not fit."""
    columns = []
    for column in signature.columns:
        if column.name not in frame:
            columns.append(np.array([None] * len(frame), dtype=object).tolist())
        elif column.wide:
            columns.append(frame[column.name].astype(object).where(frame[column.name].notna(), None).tolist())
        elif column.type in NUMBERS:
            columns.append(frame[column.name].to_numpy(dtype="float64", na_value=np.nan))
        elif column.type == "datetime":
            columns.append([None if str(value) == "NaT" else value.isoformat() for value in frame[column.name]])
        else:
            columns.append(frame[column.name].astype(object).where(frame[column.name].notna(), None).tolist())
    return from_columns(signature, columns)


def _outputs(answer: Any) -> Outputs:
    """What any flavor's predict returns, in the two shapes that MLflow's protocol tells apart."""
    if hasattr(answer, "to_frame") and not hasattr(answer, "columns"):
        answer = answer.to_frame()
    if hasattr(answer, "columns"):
        return {str(name): answer[name].to_numpy() for name in answer.columns}
    return np.asarray(answer)
