"""Probabilities and the threshold are served alike by every way in: what training recorded is what a server gives."""

import io
import json
from contextlib import contextmanager

import churn
import httpx
import numpy as np
import pandas as pd
import pyarrow
import pytest

from mlops.bundle.build import build, frame_to_rows
from mlops.errors import UserError
from mlops.scoring.client import score_file
from mlops.serving import service
from mlops.serving.model import load
from mlops.serving.settings import Settings

from .conftest import VERSION, flowers_model, labelled, make_candidate, serving

ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture(scope="module")
def candidate(tmp_path_factory, template):
    """A trained candidate with 8 % positives and a threshold chosen by cost."""
    import os
    import shutil
    from unittest.mock import patch

    from mlops.config import load_project
    from mlops.training.train import train

    root = tmp_path_factory.mktemp("churn") / "project"
    shutil.copytree(template, root)
    with patch.dict(os.environ, {"MLOPS_PROJECT": str(root)}):
        project = load_project()
        yield train(project, churn.make(project))[0]


@pytest.fixture(scope="module")
def holdout(candidate):
    return candidate.holdout().head(200)


@pytest.fixture(scope="module")
def bundle(candidate, tmp_path_factory):
    return build(candidate.path, tmp_path_factory.mktemp("bundles") / "churn", "churn", VERSION)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("log")


@pytest.fixture(scope="module")
def server(bundle, log):
    with serving(bundle.folder, prediction_log=log) as (address, _):
        yield address


def inputs(bundle, holdout):
    return holdout[bundle.signature.names]


@pytest.mark.parametrize("form", ["onnx", "skops", "pyfunc"])
def test_every_form_gives_the_recorded_labels_and_probabilities(candidate, holdout, tmp_path, form):
    bundle = build(candidate.path, tmp_path / "b", "churn", VERSION, form=form)
    predict, rows = load(bundle), frame_to_rows(holdout, bundle.signature)
    assert (predict(rows, None) == holdout["__prediction__"]).all()
    scores = predict(rows, {"predict_method": "predict_proba"})
    np.testing.assert_allclose(scores[:, 1], holdout["__probability_yes__"], rtol=0, atol=1e-12)
    threshold = candidate.manifest["threshold"]
    assert bundle.content["threshold"] == {"value": threshold["value"], "positive": "yes"}
    assert bundle.content["probabilities"] == {"classes": ["no", "yes"]}


def test_the_proof_of_a_bundle_compares_scores_as_well_as_labels(bundle):
    assert bundle.format == "onnx"
    evidence = bundle.content["scores_evidence"]
    assert evidence["rows"] == bundle.content["evidence"]["rows"] > 1000
    assert evidence["largest_difference"] <= 1e-9


def test_other_probabilities_than_recorded_make_no_bundle(tmp_path):
    frame, species = labelled()
    candidate = make_candidate(tmp_path, flowers_model(), frame, species)
    rows = pd.read_parquet(candidate / "holdout.parquet")
    scores = dict.fromkeys((f"__probability_{name}__" for name in sorted(set(species))), 1 / 3)
    rows.assign(**scores).to_parquet(candidate / "holdout.parquet")
    with pytest.raises(UserError, match="gives other probabilities than training recorded"):
        build(candidate, tmp_path / "b", "iris", VERSION)


def test_a_form_with_the_same_labels_and_other_scores_is_passed_over(candidate, tmp_path, monkeypatch):
    from mlops.serving import model as models

    real = models.load_onnx

    def blurred(raw, signature, layout, threads=1):
        predict = real(raw, signature, layout, threads)
        return lambda rows, params: predict(rows, params) * 0.999 if params else predict(rows, params)

    monkeypatch.setattr(models, "load_onnx", blurred)
    bundle = build(candidate.path, tmp_path / "b", "churn", VERSION)
    assert bundle.format == "skops" and "answers differ by" in bundle.content["passed_over"]["onnx"]


def post(address, path, body, **headers):
    return httpx.post(f"{address}{path}", json=body, headers=headers)


def test_predict_answers_labels_alone_and_probabilities_where_they_are_included(bundle, server, holdout):
    rows = inputs(bundle, holdout).to_dict("records")
    plain = post(server, "/predict", {"rows": rows}).json()
    assert list(plain) == ["predictions", "model", "version"]
    assert plain["predictions"] == holdout["__prediction__"].tolist()
    full = post(server, "/predict", {"rows": rows, "include": ["probabilities"]}).json()
    assert list(full) == ["predictions", "probabilities", "model", "version"]
    given = pd.DataFrame(full["probabilities"])
    assert list(given) == ["no", "yes"]
    np.testing.assert_allclose(given["yes"], holdout["__probability_yes__"], rtol=0, atol=1e-12)
    assert ((given["yes"] >= bundle.content["threshold"]["value"]) == (holdout["__prediction__"].to_numpy() == "yes")).all()
    refused = post(server, "/predict", {"rows": rows, "include": ["intervals"]})
    assert refused.status_code == 400 and "there are: probabilities" in refused.json()["message"]


def test_invocations_give_probabilities_by_mlflows_params(bundle, server, holdout):
    split = inputs(bundle, holdout).to_dict("split", index=False)
    given = post(server, "/invocations", {"dataframe_split": split, "params": {"predict_method": "predict_proba"}}).json()
    np.testing.assert_allclose(np.array(given["predictions"])[:, 1], holdout["__probability_yes__"], rtol=0, atol=1e-12)
    both = post(server, "/invocations", {"dataframe_split": split, "params": {"include": ["probabilities"]}}).json()
    assert both["predictions"] == holdout["__prediction__"].tolist() and list(both["probabilities"][0]) == ["no", "yes"]
    assert post(server, "/invocations", {"dataframe_split": split, "params": {"predict_method": "score"}}).status_code == 400
    assert list(post(server, "/invocations", {"dataframe_split": split}).json()) == ["predictions"]


def test_open_inference_gives_probabilities_as_a_second_output(bundle, server, holdout):
    frame = inputs(bundle, holdout)
    tensors = [
        {"name": name, "shape": [len(frame)], "datatype": "FP64" if name != "plan" else "BYTES", "data": frame[name].tolist()}
        for name in frame
    ]
    plain = post(server, "/v2/models/churn/infer", {"inputs": tensors}).json()["outputs"]
    assert [tensor["name"] for tensor in plain] == ["predictions"]
    named = [{"name": "predictions"}, {"name": "probabilities"}]
    first, second = post(server, "/v2/models/churn/infer", {"inputs": tensors, "outputs": named}).json()["outputs"]
    assert first["data"] == holdout["__prediction__"].tolist()
    assert (second["shape"], second["datatype"]) == ([len(frame), 2], "FP64")
    np.testing.assert_allclose(second["data"][1::2], holdout["__probability_yes__"], rtol=0, atol=1e-12)
    (only,) = post(server, "/v2/models/churn/infer", {"inputs": tensors, "outputs": named[1:]}).json()["outputs"]
    assert only["name"] == "probabilities"
    described = httpx.get(f"{server}/v2/models/churn").json()["optional_outputs"][0]
    assert (described["shape"], described["columns"]) == ([-1, 2], ["no", "yes"])


def test_arrow_gives_probabilities_as_columns(bundle, server, holdout):
    target = io.BytesIO()
    table = pyarrow.Table.from_pandas(inputs(bundle, holdout), preserve_index=False)
    with pyarrow.ipc.new_stream(target, table.schema) as writer:
        writer.write_table(table)
    headers = {"content-type": ARROW, "accept": f"{ARROW};include=probabilities"}
    answer = httpx.post(f"{server}/invocations", content=target.getvalue(), headers=headers)
    got = pyarrow.ipc.open_stream(answer.content).read_all().to_pandas()
    assert list(got) == ["predictions", "probabilities_no", "probabilities_yes"]
    np.testing.assert_allclose(got["probabilities_yes"], holdout["__probability_yes__"], rtol=0, atol=1e-12)


def test_a_file_is_scored_with_a_column_a_class(bundle, server, holdout, tmp_path):
    inputs(bundle, holdout).to_parquet(tmp_path / "rows.parquet")
    score_file(server, tmp_path / "rows.parquet", tmp_path / "scored.parquet", "", "churn", ["probabilities"])
    scored = pd.read_parquet(tmp_path / "scored.parquet")
    assert scored["prediction"].tolist() == holdout["__prediction__"].tolist()
    np.testing.assert_allclose(scored["probabilities_yes"], holdout["__probability_yes__"], rtol=0, atol=1e-12)


def test_the_prediction_log_keeps_what_the_threshold_decided_on(bundle, holdout, tmp_path):
    with serving(bundle.folder, prediction_log=tmp_path) as (address, _):
        post(address, "/predict", {"rows": inputs(bundle, holdout).head(3).to_dict("records")})
    lines = [json.loads(line) for line in (tmp_path / "churn.jsonl").read_text().splitlines()]
    np.testing.assert_allclose(
        [line["probabilities"]["yes"] for line in lines[-3:]], holdout["__probability_yes__"].head(3), rtol=0, atol=1e-12
    )


def test_requests_that_include_something_are_not_taken_together_with_others(flowers_bundle):
    from mlops.serving.fast_path import Batcher

    replies = {}

    class Client:
        def __init__(self, name):
            self.name = name

        def reply(self, content, last):
            replies[self.name] = json.loads(content.split(b"\r\n\r\n", 1)[1])

    @contextmanager
    def loop():
        import asyncio
        from unittest.mock import Mock, patch

        with patch.object(asyncio, "get_running_loop", return_value=Mock()):
            yield

    state = service.create(flowers_bundle.folder, Settings(access_log=False))
    service.start(state)
    state.batchable, batcher = True, Batcher(state)
    row = flowers_bundle.example
    with loop():
        for name, more in (("plain", {}), ("full", {"include": ["probabilities"]})):
            body = json.dumps({"rows": [row], **more}).encode()
            batcher.take(Client(name), b"/predict", [(b"content-type", b"application/json")], body, False, alone=False)
        batcher.answer()
    assert "probabilities" not in replies["plain"] and len(replies["full"]["probabilities"][0]) == 3
    assert replies["plain"]["predictions"] == replies["full"]["predictions"]


def test_the_log_keeps_probabilities_where_a_metric_of_the_version_is_taken_of_them(flowers, tmp_path):
    from mlops.metrics.probabilities import NEED_PROBABILITIES
    from mlops.serving import extras, service
    from mlops.serving.settings import Settings

    assert extras.OF_PROBABILITIES == NEED_PROBABILITIES  # an image has no mlops.metrics
    kept = {}
    for metric in ("log_loss", "accuracy"):
        bundle = build(flowers, tmp_path / metric, "iris", VERSION | {"metrics": {metric: 0.5}})
        state = service.create(bundle.folder, Settings(access_log=False, prediction_log=str(tmp_path / f"{metric}-log")))
        service.start(state)
        kept[metric] = state.scorer.logged
        state.close_log()
    assert kept == {"log_loss": ("probabilities",), "accuracy": ()}
