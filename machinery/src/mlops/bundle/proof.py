"""The proof that a form of a model answers as the trained one does, and what the trained one takes at all."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from mlops.serving import model as models
from mlops.serving.signature import INTEGERS, NUMBERS, Column, Rows, Signature

RELATIVE_TOLERANCE = 1e-9
PROBES = {"nan": float("nan"), "infinity": float("inf")}
FLOAT32_LIMIT = float(np.finfo(np.float32).max)


class NotConverted(Exception):
    """Raised inside the build when a model has no ONNX form that gives the same answers; the manifest keeps the reason."""


def compare(expected: models.Outputs, got: models.Outputs) -> dict[str, Any]:
    """The evidence that two sets of answers agree; raises NotConverted where they do not.

    Labels must be equal; numbers within 1e-9 of the larger of 1 and the value.
    """
    if isinstance(expected, dict) or isinstance(got, dict):
        raise NotConverted("the model answers named columns")
    if expected.shape != got.shape:
        raise NotConverted(f"answers of shape {got.shape} where the trained model gives {expected.shape}")
    evidence: dict[str, Any] = {"rows": len(expected), "compared": "labels" if expected.dtype.kind != "f" else "numbers"}
    if expected.dtype.kind != "f":
        different = int((expected.astype(object) != got.astype(object)).sum())
        if different:
            raise NotConverted(f"{different} of {len(expected)} labels differ")
        return evidence | {"different": 0}
    scale = np.maximum(1.0, np.abs(expected))
    error = float(np.max(np.where(np.isnan(expected) & np.isnan(got), 0.0, np.abs(expected - got)) / scale))
    if not error <= RELATIVE_TOLERANCE:
        raise NotConverted(f"answers differ by {error:.1e}, more than {RELATIVE_TOLERANCE:.0e}")
    return evidence | {"largest_difference": error, "tolerance": RELATIVE_TOLERANCE}


def probe(trained: models.Predict, signature: Signature, holdout: Rows) -> Signature:
    """The signature with what the trained model takes of NaN, infinity and numbers beyond float32, tried column by column.

    An ONNX graph answers something for every number; only by trying does one know what the trained model refuses.
    """
    columns = []
    for place, column in enumerate(signature.columns):
        takes = {name: _takes(trained, holdout, place, column, value) for name, value in PROBES.items()}
        needed = column.required or not takes["nan"]  # what is left out is missing
        columns.append(replace(column, required=needed, nan=takes["nan"], infinity=takes["infinity"]))
    beyond = [place for place, column in enumerate(columns) if column.type == "double"]
    large = all(_takes(trained, holdout, place, columns[place], 2 * FLOAT32_LIMIT) for place in beyond)
    return replace(signature, columns=tuple(columns), limit=None if large else FLOAT32_LIMIT)


def _takes(trained: models.Predict, holdout: Rows, place: int, column: Column, value: float) -> bool:
    if column.type in INTEGERS or column.type not in NUMBERS:
        if value == value or not replace(column, nan=True).gaps:
            return False
    try:
        with warnings.catch_warnings(action="ignore"):
            trained(_with_value(holdout, place, column, value), None)
    except Exception:  # whichever way a model fails on such a value, it does not take it
        return False
    return True


def _with_value(rows: Rows, place: int, column: Column, value: float) -> Rows:
    """The first row, with one value replaced."""
    if rows.matrix is not None:
        matrix = rows.matrix[:1].copy()
        matrix[0, place] = value
        return Rows(1, matrix, [])
    arrays = [array[:1].copy() for array in rows.arrays]
    missing = {"string": None, "boolean": None, "datetime": np.datetime64("NaT")}
    arrays[place][0] = None if column.wide else missing.get(column.type, value)
    return Rows(1, None, arrays)


def check_probes(trained: models.Predict, converted: models.Predict, signature: Signature, holdout: Rows) -> None:
    """Where the trained model takes NaN, null or infinity, the converted one must answer the same."""
    for place, column in enumerate(signature.columns):
        for name, value in PROBES.items():
            if getattr(column, name):
                row = _with_value(holdout, place, column, value)
                try:
                    compare(trained(row, None), converted(row, None))
                except Exception as error:  # whichever way a converted model fails on what the trained one takes
                    raise NotConverted(f"with {name} in {column.name}: {error}") from None
