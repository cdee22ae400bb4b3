"""The workbench in containers: a notebook, rows, objects, a restart, who is kept out, and a folder that was removed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from checkouts import ROOT, lay_out
from workbench.test_workbench_life import CELLS, PATHS, TABLES, Bench, Outside, objects, outside, rows, run_cells

from mlops.workbench import docker, settings

__all__ = ["outside"]
# Seven minutes where the layer of packages is not built yet, as it is the whole lock: run by hand.
pytestmark = [pytest.mark.docker, pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, outside: Outside) -> Iterator[Bench]:
    """A running workbench in containers that listens beyond loopback."""
    if subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no Docker Engine answers")
    root = tmp_path_factory.mktemp("docker") / "project"
    root.mkdir()
    lay_out(root)
    for name in ("requirements/light.txt", "requirements/dev.txt", "vendor/machinery.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    bench = Bench(root, outside.address)
    # A machine that reaches no registry has a base of its own under this name.
    bench.environment.setdefault(docker.BASE_VARIABLE, "python:3.12-slim-bookworm")
    try:
        state = bench("start", "--docker", "--bind", outside.address)
        assert sorted(part["part"] for part in state["parts"]) == ["jupyter", "mlflow", "postgres", "s3"]
        yield bench
    finally:
        name = settings.read(root).name
        bench("stop")
        subprocess.run(["docker", "volume", "rm", *(f"{name}_{kind}" for kind in docker.VOLUMES)], capture_output=True)
        # Layers stay for the next build.
        subprocess.run(["docker", "image", "rm", "--no-prune", f"{name}-tools", f"{name}-postgres"], capture_output=True)


def test_what_a_notebook_logs_is_in_postgresql_and_in_the_bucket_and_survives_a_restart(bench: Bench) -> None:
    *_, listed = run_cells(bench, "by_hand.ipynb", CELLS)
    assert "note.txt" in listed
    (name, place), keys = rows(bench)[0], objects(bench)
    assert (name, [key for key in keys if key.endswith("/artifacts/note.txt")]) == ("first", keys)
    assert place.startswith("mlflow-artifacts:")
    assert bench("stop")["ended"] == ["jupyter", "mlflow", "postgres", "s3"]
    assert bench("status")["parts"] == []
    bench("start", "--docker", "--bind", bench.bind)
    assert (rows(bench), objects(bench)) == ([(name, place)], keys)
    again = "import mlflow\nr = mlflow.search_runs(search_all_experiments=True)\n"
    again += "print(mlflow.artifacts.load_text(r.artifact_uri[0] + '/note.txt'), r['metrics.score'][0])"
    assert run_cells(bench, "again.ipynb", (again, TABLES)) == ["kept 0.5\n", "[3, 3]\n"]


def test_from_another_host_nobody_comes_in_without_a_password_and_to_the_data_not_at_all(
    bench: Bench, outside: Outside
) -> None:
    status = ("curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "--max-time", "20")
    for part, paths in PATHS.items():
        for path in paths:
            command = [*outside.words, *status, bench.address(part) + path]
            assert subprocess.run(command, capture_output=True, text=True).stdout in {"401", "403", "302"}, path
    for part in ("postgres", "s3"):
        command = [*outside.words, "curl", "-s", "--max-time", "5", f"http://{outside.address}:{bench.ports[part]}"]
        assert subprocess.run(command, capture_output=True).returncode == 7, "curl: failed to connect"


def test_a_folder_that_was_removed_is_one_line_and_its_way_out_keeps_the_data(bench: Bench) -> None:
    kept, name = rows(bench), settings.read(bench.root).name
    shutil.rmtree(bench.root / ".mlops")
    command = [sys.executable, "-m", "mlops", "-C", str(bench.root), "workbench"]
    done = subprocess.run([*command, "start", "--docker"], env=bench.environment, capture_output=True, text=True)
    [line] = done.stderr.splitlines()
    assert done.returncode == 2 and "secrets.json is gone" in line and not (bench.root / ".mlops").exists()
    assert line.endswith(f": make down && docker volume rm {name}_users")
    assert bench("stop")["ended"] == ["jupyter", "mlflow", "postgres", "s3"]  # as `make down` does
    listed = subprocess.run(["docker", "network", "ls", "--quiet", "--filter", f"name={name}"], capture_output=True, text=True)
    assert listed.stdout == ""
    subprocess.run(["docker", "volume", "rm", f"{name}_users"], check=True, capture_output=True)
    bench("start", "--docker", "--bind", bench.bind)
    assert rows(bench) == kept
    again = "import mlflow\nprint(len(mlflow.search_runs(search_all_experiments=True)))"
    assert run_cells(bench, "new.ipynb", (again,)) == ["1\n"]


@pytest.mark.long  # one more start of all of it
def test_a_volume_that_was_removed_is_named_when_its_part_begins_empty(bench: Bench) -> None:
    name = settings.read(bench.root).name
    bench("stop")
    subprocess.run(["docker", "volume", "rm", f"{name}_s3"], check=True, capture_output=True)
    command = [sys.executable, "-m", "mlops", "-C", str(bench.root), "workbench", "start", "--docker", "--json"]
    done = subprocess.run(command, env=bench.environment, capture_output=True, text=True)
    assert f"{name}_s3: removed since the last start, begins empty" in done.stderr
    assert len(json.loads(done.stdout)["parts"]) == 4 and objects(bench) == []
