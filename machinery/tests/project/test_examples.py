"""The examples that the wheel brings: each is complete, passes its own tests and the gate, and comes into any project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkouts import ROOT, commit, git
from command import mlops

from mlops import digests, tracking
from mlops.config import Project, load_project
from mlops.project import shipped

EXAMPLES = ("customers", "messages", "points", "stocks", "taxi")
HERE = ROOT / "machinery" / "examples"


@pytest.fixture(scope="session")
def with_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with all examples, as `mlops add --like` writes them; to be read, not changed."""
    root = tmp_path_factory.mktemp("examples")
    for path, content in shipped.first().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    for name in EXAMPLES:
        done = mlops("--project", root, "add", name, "--like", name)
        os.environ.pop("MLOPS_PROJECT", None)
        assert done.code == 0, done.err
    git(root, "init", "-q", "-b", "main")
    commit(root, "first")
    return root


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a project, whose own code comes first."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_", "MLFLOW_"))}
    environment |= {"PYTHONPATH": str(root / "src"), "MLOPS_PROJECT": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_complete_and_its_raw_data_are_those_of_the_note(name: str) -> None:
    files = shipped.example(name)
    assert {
        f"config/{name}.yaml",
        f"docs/{name}.md",
        f"src/use_cases/{name}/model.py",
        f"tests/use_cases/test_{name}.py",
    } <= set(files)
    assert [path for path in files if path.startswith("notebooks/") and path.endswith(".ipynb")]
    note = files[f"data/raw/{name}/README.md"].decode()
    for path in (path for path in files if path.endswith(".csv")):
        assert digests.of_file(HERE / name / path) in note and f"{path}.schema.json" in files
        rows = files[path].count(b"\n") - 1
        assert f"| {Path(path).name} | {rows} |" in note


@pytest.mark.parametrize("name", shipped.examples())
def test_the_page_of_a_use_case_shows_one_small_picture_and_says_what_is_on_it(name: str) -> None:
    files = shipped.example(name)
    shown = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", files[f"docs/{name}.md"].decode())
    assert [picture for _, picture in shown] == [f"{name}.svg"] and len(shown[0][0].split()) > 8
    picture = files[f"docs/{name}.svg"]
    assert b"<svg" in picture and len(picture) < 60_000


@pytest.mark.servers
def test_examples_bring_their_tests_which_pass_in_a_project(with_examples: Path) -> None:
    done = run(with_examples, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "tests/use_cases")
    assert done.returncode == 0, done.stdout[-3000:]


def test_an_example_that_is_not_there_names_those_that_are(project: Project) -> None:
    done = mlops("add", "rides", "--like", "taxy")
    assert done.code == 2 and "did you mean 'taxi'?" in done.error and "customers" in done.error


def test_an_example_comes_under_another_name(project: Project) -> None:
    assert mlops("add", "rides", "--like", "taxi").code == 0
    assert "rides" in load_project().use_cases
    assert "trust: [use_cases.rides]" in (project.root / "config" / "rides.yaml").read_text()
    assert (project.root / "notebooks" / "rides_investigate.ipynb").is_file()
    assert "](rides.svg)" in (project.root / "docs" / "rides.md").read_text()
    assert (project.root / "docs" / "rides.svg").read_bytes() == (HERE / "taxi" / "docs" / "taxi.svg").read_bytes()
    assert mlops("remove", "rides", "--yes").code == 0
    assert not list((project.root / "docs").glob("rides.*"))


@pytest.mark.servers
def test_each_example_passes_the_gate_and_the_study_has_child_runs_with_models(with_examples: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(with_examples, root)
    done = run(root, "-m", "mlops", "run", "--all")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "stocks: refused, as expected, and the baseline stays the champion" in done.stderr
    studied = run(root, "-m", "mlops", "study", "points", "--json")
    assert studied.returncode == 0, studied.stderr[-3000:]
    assert (root / "output/reports/points/study.png").read_bytes().startswith(b"\x89PNG")
    with tracking.open_store(load_project(root)) as client:
        (experiment,) = (item for item in client.search_experiments() if item.name == "points")
        (parent,) = client.search_runs(
            [experiment.experiment_id], "tags.kind = 'study' and attributes.run_name = 'points study'"
        )
        children = client.search_runs([experiment.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
        assert len(children) == 20 and all("accuracy" in run.data.metrics for run in children)
        assert [item.path for item in client.list_artifacts(children[0].info.run_id)] == ["model.skops"]
    refused = run(root, "-m", "mlops", "study", "taxi")
    assert refused.returncode == 2 and "has no function study" in refused.stderr
    # What tomorrow's prices tell is a leak, and no refusal that anybody expects.
    features = root / "src/use_cases/stocks/features.py"
    text = features.read_text(encoding="utf-8")
    features.write_text(text.replace("known.shift(HORIZON)", "known.shift(-1)"), encoding="utf-8")
    leaking = run(root, "-m", "mlops", "run", "stocks")
    assert leaking.returncode == 1 and "leaks.features" in leaking.stderr and "as expected" not in leaking.stderr
