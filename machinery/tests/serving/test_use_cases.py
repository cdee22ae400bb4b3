"""Every use case of the project: the trained model, the bundle, the server, MLflow's server and the client agree."""

import json
import os
from unittest.mock import patch

import httpx
import numpy as np
import pandas as pd
import pytest
from checkouts import ROOT
from typer.testing import CliRunner

from mlops.bundle.build import frame_to_rows
from mlops.config import load_project
from mlops.serving.manifest import verify
from mlops.serving.model import load
from mlops.use_case import load_use_case

from .conftest import serving

pytestmark = pytest.mark.servers
NAMES = sorted(file.stem for file in (ROOT / "config").glob("*.yaml") if file.stem != "project")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of its own with one version of every use case, registered by the main job; as environment variables."""
    from mlops import pipeline

    folder = tmp_path_factory.mktemp("project")
    env = {f"MLOPS__PROJECT__{name.upper()}": str(folder / name) for name in ("store", "output")}
    # A variable that is set stands before .env, which may name the team's server.
    with patch.dict(os.environ, {**env, "MLFLOW_TRACKING_URI": ""}):
        project = load_project(ROOT)
        outcomes = {name: pipeline.run(project, load_use_case(project, name, ()), "champion", "a test") for name in NAMES}
        yield project, outcomes


def command(*arguments):
    from mlops.cli import app

    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_one_trained_model_gives_the_same_predictions_everywhere(store, name, tmp_path):
    import mlflow.pyfunc
    from mlflow.pyfunc.scoring_server import init
    from starlette.testclient import TestClient

    from mlops.registry import versions

    project, outcomes = store
    if not outcomes[name].passed:
        pytest.skip("the gate refuses this use case's model, so that there is no version")
    result = command("bundle", name, "--json")
    bundle = verify(project.output / "bundles" / name / result["number"])
    candidate = versions.fetch(project, versions.resolve(project, name), tmp_path)
    holdout = candidate.holdout()
    predictions, frame = holdout["__prediction__"], holdout[bundle.signature.names]
    body = json.dumps({"dataframe_split": {"columns": list(frame), "data": frame.to_numpy().tolist()}})
    answers = {"bundle": load(bundle)(frame_to_rows(frame, bundle.signature), None)}
    with TestClient(init(mlflow.pyfunc.load_model(str(candidate.path / "model")))) as theirs:
        headers = {"content-type": "application/json"}
        answers["mlflow models serve"] = theirs.post("/invocations", content=body, headers=headers).json()["predictions"]
    with serving(bundle.folder) as (address, _):
        answers["server"] = httpx.post(f"{address}/invocations", content=body, headers=headers).json()["predictions"]
        frame.to_csv(tmp_path / "rows.csv", index=False)
        scored = command(
            "client", name, "-i", str(tmp_path / "rows.csv"), "-o", str(tmp_path / "out.csv"), "--url", address, "--json"
        )
        answers["client"] = scored["predictions"]
    answers["file"] = pd.read_csv(tmp_path / "out.csv")["prediction"]
    for way, given in answers.items():
        if predictions.dtype.kind == "f":
            np.testing.assert_allclose(np.asarray(given), predictions, rtol=1e-9, err_msg=way)
        else:
            assert list(given) == predictions.tolist(), way


def test_a_version_bundled_again_has_the_same_digest(store, tmp_path):
    first = command("bundle", NAMES[0], "--json")
    again = command("bundle", NAMES[0], "champion", "--to", str(tmp_path / "again"), "--json")
    by_number = command("bundle", NAMES[0], first["number"], "--to", str(tmp_path / "number"), "--json")
    assert first["digest"] == again["digest"] == by_number["digest"]


def test_a_damaged_bundle_is_built_again(store):
    result = command("bundle", NAMES[0], "--json")
    folder = verify(store[0].output / "bundles" / NAMES[0] / result["number"]).folder
    (folder / "manifest.json").write_text("{}")
    assert command("bundle", NAMES[0], "--json")["digest"] == result["digest"]
