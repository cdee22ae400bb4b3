"""The image: not root, on a read-only file system, with labels, and the bundle's answers."""

import json
import subprocess
from pathlib import Path

import httpx
import pandas as pd
import pytest

from mlops.bundle.image import build, stage
from mlops.errors import UserError

from .conftest import wait_ready

ROOT = Path(__file__).resolve().parents[3]


def docker(*arguments):
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def test_the_context_holds_the_server_the_bundle_and_the_lock_only(flowers_bundle, tmp_path):
    arguments = stage(ROOT, flowers_bundle, tmp_path / "context")
    assert arguments["VERSION"] == "1.2.3" and arguments["DIGEST"] == flowers_bundle.digest
    names = {path.relative_to(tmp_path / "context").parts[0] for path in (tmp_path / "context").rglob("*")}
    assert names == {"Dockerfile", "app", "bundle", "requirements.txt"}
    assert "--hash=sha256:" in (tmp_path / "context" / "requirements.txt").read_text()
    assert len({path.stat().st_mtime for path in (tmp_path / "context").rglob("*")}) == 1
    with pytest.raises(UserError, match="not empty"):
        stage(ROOT, flowers_bundle, tmp_path / "context")


@pytest.mark.docker
def test_the_image_runs_locked_down_and_answers_as_the_trained_model(flowers, flowers_bundle):
    image = build(ROOT, flowers_bundle, "mlops-test-iris:1.2.3")
    config = json.loads(docker("image", "inspect", image["image"]))[0]["Config"]
    assert config["User"] == "65532:65532" and config["Healthcheck"]["Test"]
    assert config["Labels"]["org.opencontainers.image.version"] == "1.2.3"
    assert config["Labels"]["org.opencontainers.image.revision"] == "c0ffee"
    assert config["Labels"]["io.mlops.run"] == "abc"
    assert config["Labels"]["io.mlops.bundle.sha256"] == flowers_bundle.digest
    hardened = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    name = docker("run", "--detach", "--rm", *hardened, "--publish", "127.0.0.1::8080", image["image"])
    try:
        address = "http://" + docker("port", name, "8080/tcp").splitlines()[0]
        wait_ready(address, subprocess.Popen(["sleep", "30"]))
        holdout = pd.read_parquet(flowers / "holdout.parquet")
        body = {"dataframe_records": holdout[[c for c in holdout if not c.startswith("__")]].to_dict("records")}
        answer = httpx.post(f"{address}/invocations", json=body).json()["predictions"]
        assert answer == holdout["__prediction__"].tolist()
        assert docker("exec", name, "python", "-c", "import os; print(os.getuid())") == "65532"
        assert httpx.get(f"{address}/version").json()["digest"] == flowers_bundle.digest
        assert docker("stop", "--time", "10", name)
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True)


@pytest.mark.docker
def test_an_image_built_again_has_the_same_layers(flowers_bundle, tmp_path):
    first = build(ROOT, flowers_bundle, "mlops-test-iris:1.2.3")["image"]
    stage(ROOT, flowers_bundle, tmp_path / "context")
    again = docker("build", "--quiet", "--no-cache", "--tag", "mlops-test-again", str(tmp_path / "context"))
    try:
        layers = [docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image) for image in (first, again)]
        assert layers[0] == layers[1]
    finally:
        docker("rmi", "--force", "mlops-test-again")
