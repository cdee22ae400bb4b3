"""Which use cases a change touches."""

from collections.abc import Callable
from pathlib import Path

import pytest
from checkouts import git

from mlops.gitflow import touched

MACHINERY = ("src/mlops/training", "src/mlops/keys.py", "requirements/base.txt")


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], []),
        (["README.md", "CHANGELOG.md", "setup.py", ".github/workflows/train.yml", "docs/x.md"], []),
        (["config/iris.yaml"], ["iris"]),
        (["src/use_cases/iris/features.py", "README.md"], ["iris"]),
        (["data/raw/taxi/rides.csv", "data/raw/iris/iris.csv.schema.json"], ["iris", "taxi"]),
        (["src/use_cases/iris_two/features.py", "config/irises.yaml", "data/raw/iris.csv"], []),
        (["src/mlops/training/split.py"], ["iris", "taxi"]),
        (["src/mlops/keys.py"], ["iris", "taxi"]),
        (["requirements/base.txt"], ["iris", "taxi"]),
        (["requirements/dev.txt", "src/mlops/gitflow/tags.py", "src/mlops/trainings.py"], []),
    ],
)
def test_a_change_touches_the_use_cases_that_it_can_alter(paths: list[str], expected: list[str]) -> None:
    assert touched.use_cases(paths, ["taxi", "iris"], MACHINERY) == expected


def test_paths_are_those_since_the_branches_parted(project: Path, another: Callable[[str], Path]) -> None:
    git(project, "checkout", "--quiet", "-b", "feature/x", "origin/dev")
    (project / "ä b.txt").write_text("x")
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "x")
    other = another("other")
    git(other, "checkout", "--quiet", "dev")
    (other / "elsewhere.txt").write_text("y")
    git(other, "add", "-A")
    git(other, "commit", "--quiet", "-m", "y")
    git(other, "push", "--quiet", "origin", "dev")
    assert touched.changed_paths(project, "dev") == ["ä b.txt"] == touched.changed_paths(project, "origin/dev")
    assert touched.changed_paths(project, "no-such-branch") is None
