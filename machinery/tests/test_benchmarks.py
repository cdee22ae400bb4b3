"""Every benchmark runs to its end on a tiny size, so that a table of the documentation can be computed again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkouts import ROOT, need_examples

ENDS = {"bare_iris", "batch_memory", "evidently_verdicts", "timing", "__init__"}  # what other benchmarks import or run
RUNS = {
    "batch": ("--rows", "20000", "--rounds", "1", "--memory", "20000", "--picture", os.devnull),
    "day_one": ("wine",),
    "drift_alarms": ("--windows", "2", "--name", "iris"),
    "drift": ("iris",),
    "main_job": ("--rounds", "1"),
    "notebooks": ("--repeat", "1"),
    "raw_serving": ("iris", "--requests", "3"),
    "serving": ("--seconds", "0.2"),
    "deploy": ("--runs", "1", "--rate", "20"),
    "drill": ("--rate", "20"),
    "versions": ("--versions", "3", "--rounds", "1"),
    "walk": ("--local",),
    "reproductions": ("--use-cases", "iris", "--rounds", "2"),
    "parity": ("iris",),
    "pictures": ("iris", "--to", "{folder}"),
    "spark": ("--rows", "20000", "--rounds", "1", "--model", "logistic"),
    "workflows": ("--runs", "1"),
    "workflow_minutes": (),
    "runners": ("--rows", "2000", "--repeat", "1", "--kinds", "GaussianNB"),
}
MARKS = {
    "batch": pytest.mark.servers,
    "day_one": pytest.mark.long,
    "drift": pytest.mark.servers,
    "main_job": pytest.mark.servers,
    "notebooks": pytest.mark.servers,
    "raw_serving": pytest.mark.servers,
    "serving": pytest.mark.servers,
    # Minutes each, of what the tests of deployments and workflows do as well.
    "deploy": (pytest.mark.docker, pytest.mark.long),
    "drill": (pytest.mark.docker, pytest.mark.long),
    "workflows": (pytest.mark.workflows, pytest.mark.long),
    "parity": (pytest.mark.spark, pytest.mark.long),
    "pictures": pytest.mark.servers,
    "spark": (pytest.mark.spark, pytest.mark.long),
    "reproductions": pytest.mark.long,
    "versions": pytest.mark.long,
    "walk": pytest.mark.long,
}


def test_each_benchmark_is_run_here() -> None:
    assert {file.stem for file in (ROOT / "machinery" / "benchmarks").glob("*.py")} - ENDS == set(RUNS)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in RUNS])
def test_a_benchmark_runs_to_its_end_on_a_tiny_size(name: str, tmp_path: Path) -> None:
    need_examples()
    if name == "serving" and not (shutil.which("wrk") and shutil.which("taskset")):
        pytest.skip("wrk and taskset are not installed, which send its requests")
    places = {f"MLOPS__PROJECT__{key.upper()}": str(tmp_path / key) for key in ("store", "output")}
    env = os.environ | places | {"PYTHONPATH": str(ROOT / "machinery")}
    if name in ("drift", "raw_serving"):
        subprocess.run([sys.executable, "-m", "mlops", "run", "iris"], cwd=ROOT, env=env, check=True, capture_output=True)
    options = [part.format(folder=tmp_path) for part in RUNS[name]]
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *options], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert any(character.isdigit() for character in done.stdout)
