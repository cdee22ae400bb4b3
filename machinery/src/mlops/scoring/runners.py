"""What scores the parts of a batch: scikit-learn, or ONNX Runtime for the estimators that a kept measurement has faster there.

The measurement is `runners.json`; `python -m benchmarks.runners --write` makes it anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import console
from mlops.errors import UserError, first_line

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops.config import Project
    from mlops.registry.versions import Version
    from mlops.serving.manifest import Bundle
    from mlops.serving.signature import Signature

FILE = Path(__file__).with_name("runners.json")
SKLEARN, ONNX = "scikit-learn", "onnx"
# How much faster ONNX Runtime has to be: its last digits are others, and the bundle of a version takes seconds once.
MARGIN = 1.5


def fastest(model: Any) -> str:
    """The runner for the kind of a model, of a pipeline for that of its last step; scikit-learn where it was not measured."""
    from sklearn.pipeline import Pipeline

    while type(model) is Pipeline:
        model = model[-1]
    speeds = json.loads(FILE.read_text(encoding="utf-8"))["rows_per_second"].get(type(model).__name__, {})
    is_sklearn = type(model).__module__.startswith("sklearn.")
    return ONNX if is_sklearn and ONNX in speeds and speeds[ONNX] >= MARGIN * speeds[SKLEARN] else SKLEARN


def model_of(project: Project, version: Version, name: str, model: Any) -> Any:
    """What scores in the place of a model: ONNX Runtime with the verified bundle of its version, or the model itself."""
    from mlops.scoring import registered

    if fastest(model) != ONNX:
        return model
    try:
        bundle = registered.bundle(project, name, version.number, None, None)
    except UserError as error:
        console.note(f"{name}: scored by scikit-learn, as its version has no bundle ({first_line(error)})")
        return model
    return of_bundle(bundle, model)


def of_bundle(bundle: Bundle, model: Any) -> Any:
    """A bundle's ONNX form in the place of its model; the model where the bundle has none that takes rows as they are."""
    from mlops.serving import graph
    from mlops.serving.model import ONNX_FILE

    layout = bundle.content.get("onnx", {})
    has_scores = "scores" in layout or not hasattr(model, "classes_")
    plain = layout.get("inputs") == "matrix" and layout["dimensions"] == 1 and not {"chunk", "threshold"} & set(layout)
    if not plain or not has_scores:
        return model
    raw = (bundle.folder / ONNX_FILE).read_bytes()
    graph.check(raw)
    return OnnxModel(raw, layout, bundle.inputs, model, bundle.folder)


class OnnxModel:
    """The ONNX form of a bundle, asked as its model is; rows with values that it was not proved for go to the model."""

    runner = ONNX

    def __init__(self, raw: bytes, layout: dict[str, Any], inputs: Signature, model: Any, folder: Path | None = None) -> None:
        import numpy as np

        from mlops.serving.model import session_of

        self.model, self.layout, self.limit, self.folder = model, layout, inputs.limit, folder
        self.session = session_of(raw, threads=1)  # parts are scored side by side
        self.takes = [np.array([getattr(column, name) for column in inputs.columns]) for name in ("nan", "infinity")]
        if hasattr(model, "classes_"):
            self.classes_ = model.classes_
            self.predict_proba = lambda rows: self.both(rows)[1]

    def predict(self, rows: pd.DataFrame) -> Any:
        """The predictions."""
        values = self._values(rows)
        return self.model.predict(rows) if values is None else self._run(values, self.layout["output"])[0]

    def both(self, rows: pd.DataFrame) -> tuple[Any, Any]:
        """Predictions and probabilities, from going through the model once."""
        values = self._values(rows)
        if values is None:
            return self.model.predict(rows), self.model.predict_proba(rows)
        label, scores = self._run(values, self.layout["output"], self.layout["scores"])
        return label, scores

    def _run(self, values: np.ndarray, *outputs: str) -> list[Any]:
        answers, *rest = self.session.run(list(outputs), {"input": values})
        return [answers.reshape(-1).astype(self.layout["dtype"], copy=False), *rest]

    def _values(self, rows: pd.DataFrame) -> np.ndarray | None:
        """The rows as one matrix; None where one has a value that the form was not proved for."""
        import numpy as np

        values = np.ascontiguousarray(rows.to_numpy(dtype=np.float64))
        if not np.isfinite(values).all():
            odd = [np.isnan(values).any(axis=0), np.isinf(values).any(axis=0)]
            if any((found & ~takes).any() for found, takes in zip(odd, self.takes, strict=True)):
                return None
        if self.limit is not None and (np.abs(values[np.isfinite(values)]) > self.limit).any():
            return None
        return values
