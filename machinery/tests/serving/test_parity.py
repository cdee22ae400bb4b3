"""A bundle answers as the trained model does on rows that neither has seen: labels, numbers and scores, in the form named."""

import time
import warnings

import numpy as np
import onnxruntime
import pytest

from mlops.bundle.build import build, frame_to_rows
from mlops.serving.model import ONNX_FILE, load, load_onnx

from .conftest import VERSION, make_candidate
from .pipelines import KINDS, table

TOLERANCE = 1e-9
TRAINED_ROWS, FRESH_ROWS, FEW_ROWS = 1200, 20_000, 500
CHUNK = 2_000


def largest_difference(expected, answers):
    """Relative to the larger of 1 and the value; infinity where a label or the shape differs."""
    expected, answers = np.asarray(expected), np.asarray(answers)
    if expected.shape != answers.shape:
        return np.inf
    if expected.dtype.kind == "f":
        return float(np.max(np.abs(expected - answers) / np.maximum(1, np.abs(expected)), initial=0.0))
    return 0.0 if (expected == answers).all() else np.inf


def scores_of(bundle):
    """The second output of an ONNX bundle as a function of rows; None where the bundle has no such output."""
    raw = (bundle.folder / ONNX_FILE).read_bytes()
    names = [output.name for output in onnxruntime.InferenceSession(raw).get_outputs()]
    if len(names) < 2:
        return None
    layout = bundle.content["onnx"] | {"output": names[1], "dtype": "float64", "dimensions": 2}
    return load_onnx(raw, bundle.signature, layout)


def scored(predict, rows_of, fresh):
    parts = [fresh[start : start + CHUNK] for start in range(0, len(fresh), CHUNK)]
    return np.concatenate([predict(rows_of(part), None) for part in parts])


def differences(kind, model, bundle, count):
    """The largest difference of predictions, and of scores where the model has probabilities and the bundle is ONNX."""
    fresh = table(count, seed=2)[0][kind.columns]

    def rows_of(frame):
        return frame_to_rows(frame, bundle.signature)

    gaps = [largest_difference(model.predict(fresh), scored(load(bundle, 1, EVERY), rows_of, fresh))]
    if bundle.format == "onnx" and hasattr(model, "predict_proba"):
        expected = model.predict_proba(fresh)
        if isinstance(expected, list):  # one array a target: held to by the labels
            return gaps
        gaps.append(largest_difference(expected, scored(scores_of(bundle), rows_of, fresh)))
    elif bundle.format == "onnx" and hasattr(model, "score_samples") and hasattr(model, "offset_"):
        expected = model.decision_function(fresh)[:, None]
        gaps.append(largest_difference(expected, scored(scores_of(bundle), rows_of, fresh)))
    return gaps


# What the configuration of a team has to name: its own function, and how scikit-learn itself wraps one.
TRUSTED = {
    "a function of one's own": ("serving.pipelines",),
    "hist boosting with categories": ("functools.partial", "sklearn.utils.validation.check_array"),
}
EVERY = tuple(name for names in TRUSTED.values() for name in names)


def check(name, count, tmp_path):
    kind = KINDS[name]
    frame, targets = table(TRAINED_ROWS, seed=1)
    model = kind.make()
    with warnings.catch_warnings(action="ignore"):
        candidate = make_candidate(tmp_path, model, frame[kind.columns], targets[kind.target])
        began = time.perf_counter()
        bundle = build(candidate, tmp_path / "bundle", "kind", VERSION, trusted=TRUSTED.get(name, ()))
        seconds = time.perf_counter() - began
        gaps = differences(kind, model, bundle, count)
    reason = bundle.content["passed_over"].get("onnx", "")
    print(f"| {name} | {bundle.format} | {seconds:.1f} | {' / '.join(f'{value:.1e}' for value in gaps)} | {reason} |")
    assert bundle.format == kind.form, reason
    assert max(gaps) <= TOLERANCE


def test_forty_of_forty_eight_kinds_are_served_as_onnx():
    assert len(KINDS) == 48
    assert sum(kind.form == "onnx" for kind in KINDS.values()) >= 40


@pytest.mark.parametrize("name", KINDS)
def test_a_bundle_answers_as_the_trained_model(name, tmp_path):
    check(name, FEW_ROWS, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", KINDS)
def test_a_bundle_answers_as_the_trained_model_on_twenty_thousand_fresh_rows(name, tmp_path):
    check(name, FRESH_ROWS, tmp_path)
