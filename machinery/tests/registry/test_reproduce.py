"""A version is trained again from its commit alone; what is not the same is named, with how much."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkouts import commit, git

from mlops.project import shipped

pytestmark = pytest.mark.servers


class Repository:
    """A project whose commits hold the code of its use case, worked on by the command line as from a shell."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for path, content in {**shipped.first(), **shipped.example("iris")}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        git(root, "init", "-q", "-b", "main")
        self.commit("first")

    def commit(self, message: str) -> None:
        commit(self.root, message)

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def mlops(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_", "MLFLOW_"))}
        environment |= {"PYTHONPATH": str(self.root / "src"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "mlops", "--project", str(self.root), *arguments]
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Iris 1.0.0 of the first commit, trained with an override, then other code and a later commit."""
    made = Repository(tmp_path_factory.mktemp("reproduce") / "project")
    done = made.mlops("run", "iris", "--set", "parameters.degree=2")
    assert done.returncode == 0, done.stderr
    made.edit("src/use_cases/iris/model.py", "StandardScaler()", "StandardScaler(with_mean=False)")
    made.commit("another scaler")
    return made


def test_a_version_of_an_older_commit_and_an_override_is_equal_to_the_last_byte_of_the_model(repository: Repository) -> None:
    done = repository.mlops("reproduce", "iris@1.0.0", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["equal"] and result["parts"] == [] and result["largest"] == 0 and result["rows_that_differ"] == 0
    assert "model/model.skops" not in result["files"] and "holdout.parquet" not in result["files"]
    assert result["verdict"].startswith("equal: 3 metrics and 51 predictions are the same")
    assert git(repository.root, "worktree", "list").count("\n") == 0
    costs = result["costs"]
    assert sorted(costs) == ["comparison", "environment", "removal", "training", "worktree"] and not result["own_environment"]
    assert costs["training"]["cpu"] > max(costs["environment"]["cpu"], costs["worktree"]["cpu"]) > 0


def test_nothing_of_the_store_or_of_earlier_candidates_is_taken(repository: Repository) -> None:
    """The candidates of the project are emptied of their models: only training can bring one."""
    for file in repository.root.glob("output/candidates/iris/*/model/model.skops"):
        file.write_bytes(b"")
    assert repository.mlops("reproduce", "iris@1.0.0").returncode == 0


def test_what_differs_is_named_with_how_much(repository: Repository) -> None:
    """Another commit is put into the tags: its code is not that of the version."""
    from mlops import tracking
    from mlops.config import load_project
    from mlops.registry import versions

    project = load_project(repository.root)
    old = versions.resolve(project, "iris", "1.0.0")
    new = git(repository.root, "rev-parse", "HEAD")
    with tracking.open_store(project) as client:
        client.set_model_version_tag("iris", old.version, "git_commit", new)
    try:
        done = repository.mlops("reproduce", "iris", "--json")
        result = json.loads(done.stdout)
        assert done.returncode == 1 and result["parts"] == ["code"] and not result["equal"]
        assert result["verdict"].endswith("not the same: code") and result["largest"] > 0
        assert result["metrics"]["log_loss"][0] != result["metrics"]["log_loss"][1]
    finally:
        with tracking.open_store(project) as client:
            client.set_model_version_tag("iris", old.version, "git_commit", old.tags["git_commit"])


def test_changes_that_no_commit_holds_are_applied_as_they_were_kept(repository: Repository) -> None:
    repository.edit("config/iris.yaml", "regularisation: 1.0", "regularisation: 1.5")
    (repository.root / "src/use_cases/iris/new.py").write_text("FACTOR = 1.0\n")
    repository.edit("src/use_cases/iris/model.py", "import numpy", "from .new import FACTOR as FACTOR\nimport numpy")
    assert repository.mlops("run", "iris").returncode == 0
    for name in ("config", "src"):
        git(repository.root, "checkout", "-q", name)
    (repository.root / "src/use_cases/iris/new.py").unlink()
    done = repository.mlops("reproduce", "iris", "--json")
    assert done.returncode == 0, done.stderr
    result, names = json.loads(done.stdout), ["config/iris.yaml", "src/use_cases/iris/model.py", "src/use_cases/iris/new.py"]
    assert result["equal"] and result["uncommitted"] == names and result["parts"] == []
    assert f"changes that no commit holds are applied as they were kept: {', '.join(names)}" in done.stderr
    assert git(repository.root, "status", "--porcelain") == ""


def test_changes_that_were_not_kept_cannot_be_gone_back_to(repository: Repository) -> None:
    repository.edit("config/iris.yaml", "regularisation: 1.0", "regularisation: 2.5")
    (repository.root / "src/use_cases/iris/.env").write_text("X=1\n")
    git(repository.root, "add", "-f", "src/use_cases/iris/.env")
    trained = repository.mlops("run", "iris")
    assert trained.returncode == 0 and "are not kept (src/use_cases/iris/.env may hold a secret by its name)" in trained.stderr
    git(repository.root, "reset", "-q", "--hard")
    done = repository.mlops("reproduce", "iris")
    assert done.returncode == 2 and "trained with changes that commit" in done.stderr and "commit first" in done.stderr
    assert "and that were not kept (src/use_cases/iris/.env may hold" in done.stderr


def test_data_that_are_nowhere_are_named(repository: Repository) -> None:
    from mlops.config import load_project
    from mlops.errors import UserError
    from mlops.registry import reproduce
    from mlops.training.candidate import Candidate

    lost = Candidate(repository.root, {"data": [{"file": "gone.csv", "sha256": "0" * 64}]})
    with pytest.raises(UserError, match="gone.csv: not the file that was trained on"):
        reproduce._bring_data(load_project(repository.root), "iris", repository.root, lost)


def test_the_summary_of_a_workflow_says_what_differs_and_by_how_much() -> None:
    from mlops.registry.reproduce import Cost, Reproduction, markdown

    metrics = {"log_loss": (0.25, 0.5), "days": (2050.0, 2050.0), "new": (None, 1.0)}
    costs = {"environment": Cost(20.0, 9.0)}
    result = Reproduction("iris 1.0.0", "a" * 40, ("lock",), (), metrics, 51, 2, 0.125, (), 1.5, True, costs)
    text = markdown(result)
    assert text.startswith("### ❌ iris 1.0.0, trained again from aaaaaaaaaaaa") and "Differs in 2 of 51 predictions" in text
    assert "| log_loss | 0.2500 | 0.5000 | 0.25 |" in text and "| days | 2050 | 2050 | 0 |" in text
    assert "| new | – | 1.0000 | – |" in text and "Environment: of its own. " in text
    assert text.endswith("Seconds (on a processor): environment 20.0 (9.0); fit 1.5.")


@pytest.mark.parametrize(
    "recipe, works", [("mkdir -p .venv/bin && touch .venv/.base", True), ("echo error: no such pin >&2; exit 2", False)]
)
def test_another_lock_gets_an_environment_of_its_own_by_the_make_of_its_commit(
    tmp_path: Path, recipe: str, works: bool
) -> None:
    from mlops.config import Project
    from mlops.errors import UserError
    from mlops.registry import reproduce

    here, tree = (tmp_path / name for name in ("here", "tree"))
    for root, pin in ((here, "click==8.5.1"), (tree, "click==8.5.0")):
        (root / "requirements").mkdir(parents=True)
        (root / "requirements" / "base.txt").write_text(f"{pin}\n")
    (tree / "Makefile").write_text(f".venv/.base:\n\t@{recipe}\n")
    project = Project.model_validate({"root": here, "name": "here", "default_use_case": "iris"})
    if works:
        python, _ = reproduce._environment(project, tree)
        assert python == str(tree / ".venv/bin/python") and (tree / ".venv/.base").is_file()
    else:
        with pytest.raises(UserError, match="cannot be created: error: no such pin"):
            reproduce._environment(project, tree)
    (tree / "requirements" / "base.txt").write_text("# the same pin\nclick==8.5.1\n")
    assert reproduce._environment(project, tree)[0] == sys.executable


def test_compiled_modules_are_taken_where_the_source_has_the_same_bytes_and_made_where_not(tmp_path: Path) -> None:
    import compileall

    from mlops.registry import bytecode

    here, there = (tmp_path / name / "package" for name in ("here", "there"))
    here.mkdir(parents=True)
    there.mkdir(parents=True)
    for name in ("linked.py", "copied.py", "other.py", "stale.py", "broken.py", "gone.py"):
        (here / name).write_text("X = 1\n")
    compileall.compile_dir(here, quiet=1)
    os.link(here / "linked.py", there / "linked.py")
    (there / "copied.py").write_text("X = 1\n")
    os.utime(there / "copied.py", (1e9, 1e9))
    (there / "other.py").write_text("X = 2\n")
    (there / "broken.py").write_text("X = \n")
    (there / "never_imported_here.py").write_text("X = 4\n")
    for folder in (here, there):  # edited since it was compiled
        (folder / "stale.py").write_text("X = 3\n")
        os.utime(folder / "stale.py", (1e9, 1e9))
    assert bytecode.share(here.parent, there.parent) == 4
    made = sorted(file.name.partition(".")[0] for file in (there / "__pycache__").iterdir())
    assert made == ["copied", "linked", "other", "stale"]
    assert bytecode.share(here.parent, there.parent) == 0
    code = "import package.linked, package.copied; from package import other, stale; assert (other.X, stale.X) == (2, 3)"
    done = subprocess.run([sys.executable, "-v", "-c", code], cwd=there.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in made:
        assert f"code object from '{there.parent}/package/__pycache__/{name}." in done.stderr, done.stderr[-3000:]


def test_another_environment_that_the_shell_names_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workflow gives VENV to every job: the commit's environment lies in its own folder all the same."""
    from mlops.config import Project
    from mlops.registry import reproduce

    here, tree = (tmp_path / name for name in ("here", "tree"))
    (tree / "requirements").mkdir(parents=True)
    (tree / "requirements" / "base.txt").write_text("click==8.5.0\n")
    recipe = "VENV ?= .venv\n$(VENV)/.base:\n\t@mkdir -p $(VENV)/bin && touch $(VENV)/.base\n"
    (tree / "Makefile").write_text(recipe)
    monkeypatch.setenv("VENV", str(tmp_path / "job"))
    project = Project.model_validate({"root": here, "name": "here", "default_use_case": "iris"})
    reproduce._environment(project, tree)
    assert (tree / ".venv/.base").is_file() and not (tmp_path / "job").exists()


def test_a_value_that_was_set_to_null_is_set_again_and_one_that_was_not_there_is_not() -> None:
    from mlops.registry import reproduce

    trained = {"parameters": {"weight": None}, "seed": 1}
    assert reproduce._has(trained, "parameters.weight") and reproduce._has(trained, "seed")
    assert not reproduce._has(trained, "parameters.depth") and not reproduce._has(trained, "seed.low")
