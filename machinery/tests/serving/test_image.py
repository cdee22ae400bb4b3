"""The image: not root, on a read-only file system, with labels, and the bundle's answers."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mlops.bundle import image_id
from mlops.bundle.build import build as build_bundle
from mlops.bundle.image import build, rows_of, stage, try_out
from mlops.errors import UserError
from mlops.spark.text import HashedWords

from .conftest import VERSION, make_candidate, wait_ready

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


def test_the_context_of_a_model_that_counts_words_predicts_with_what_it_holds(tmp_path):
    texts = pd.DataFrame({"text": ["call 12345 now", "see you soon", "win 99999 call", "home soon"] * 20})
    model = make_pipeline(HashedWords(256), LogisticRegression())
    candidate = make_candidate(tmp_path / "candidate", model, texts, np.array(["spam", "ham"] * 40))
    bundle = build_bundle(candidate, tmp_path / "bundle", "messages", VERSION)
    assert bundle.format == "skops"
    stage(ROOT, bundle, tmp_path / "context")
    try_out(Path(sys.executable), tmp_path / "context", rows_of(pd.read_parquet(candidate / "holdout.parquet"), bundle))
    assert {path.name for path in (tmp_path / "context" / "app" / "mlops").iterdir()} >= {"serving", "spark"}


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
def test_an_image_built_again_has_the_same_id_and_the_time_of_its_version(flowers_bundle, monkeypatch):
    names = ("mlops-test-iris:1.2.3", f"mlops-test-again-{os.getpid()}:1")
    first = build(ROOT, flowers_bundle, names[0])
    run = subprocess.run

    def afresh(command, **options):
        """Build without a cache, as another machine does."""
        return run([*command[:2], "--no-cache", *command[2:]] if command[1] == "build" else command, **options)

    monkeypatch.setattr("mlops.bundle.image.subprocess.run", afresh)
    try:
        again = build(ROOT, flowers_bundle, names[1])
        assert again["id"] == first["id"]
        details = json.loads(docker("image", "inspect", names[1]))[0]
        assert details["Created"] == "2000-01-01T00:00:00Z"
        assert len(details["RootFS"]["Layers"]) == len(docker("history", "--quiet", names[1]).splitlines())
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        build(ROOT, flowers_bundle, names[1])
        assert docker("image", "inspect", "--format", "{{.Created}}", names[1]) == "2023-11-14T22:13:20Z"
    finally:
        docker("rmi", "--force", names[1])


@pytest.mark.docker
def test_an_image_holds_no_sources_of_compiled_packages(flowers_bundle):
    image = build(ROOT, flowers_bundle, "mlops-test-iris:1.2.3")["image"]
    code = "import pathlib; print(*{p.suffix for p in pathlib.Path('/srv/packages').rglob('*') if p.is_file()})"
    suffixes = docker("run", "--rm", "--entrypoint", "python", image, "-c", code).split()
    assert not {".pyx", ".pxi", ".c", ".cpp", ".h", ".a", ".pyi", ".pyc"} & set(suffixes)


def test_the_time_of_an_image_is_that_of_its_version_or_the_given_one(flowers_bundle, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    registered = replace(flowers_bundle, content={**flowers_bundle.content, "version": {"created_ms": 1_700_000_000_500}})
    assert image_id.moment_of(registered) == 1_700_000_000
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "12")
    assert image_id.moment_of(registered) == 12
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "noon")
    with pytest.raises(UserError, match="SOURCE_DATE_EPOCH is 'noon': give it whole seconds since 1970"):
        image_id.moment_of(registered)


def test_the_configuration_of_an_image_holds_nothing_of_its_builder():
    details = {"Architecture": "amd64", "Os": "linux", "RootFS": {"Layers": ["sha256:1", "sha256:2"]}}
    details["Config"] = {"User": "65532:65532", "Hostname": "dc3f6b02a017", "Image": "sha256:7", "Env": ["A=1"]}
    content = json.loads(image_id.configuration(details, 0, "x"))
    assert content["config"] == {"User": "65532:65532", "Env": ["A=1"]} and content["created"] == "1970-01-01T00:00:00Z"
    assert len(content["history"]) == 2 and content["rootfs"]["diff_ids"] == ["sha256:1", "sha256:2"]
