"""What a beginner gets wrong first is answered in one line: where, what, and what was probably meant."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from command import mlops
from tables import people

from mlops.config import Project
from mlops.errors import UserError
from mlops.scaffold.add import add, check_name
from mlops.scaffold.understand import Wishes


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the use case of these tests comes from."""
    file = tmp_path_factory.mktemp("rows") / "people.csv"
    people(120).to_csv(file, index=False)
    return file


@pytest.fixture
def mine(own: Project, written: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a use case as `mlops add` writes it; one candidate is enough here."""
    from mlops.scaffold import choose

    monkeypatch.setattr(choose, "CANDIDATES", (choose.LINEAR,))
    add(own, "mine", str(written), Wishes("left"))
    return own


def edit(file: str, old: str, new: str) -> Callable[[Project], None]:
    """An edit of one file of the project."""

    def apply(project: Project) -> None:
        text = (project.root / file).read_text(encoding="utf-8")
        assert old in text, text
        (project.root / file).write_text(text.replace(old, new), encoding="utf-8")

    return apply


CODE = "src/use_cases/mine"
MISTAKES = {
    "wrong column in load": (edit(f"{CODE}/data.py", "subset=[TARGET]", 'subset=["lefft"]'), "lefft", "data.py:"),
    "wrong column in the schema": (edit(f"{CODE}/data.py", '"score":', '"skore":'), "skore", "there are"),
    "forgotten import": (edit(f"{CODE}/data.py", "import pandas as pd\n", ""), "NameError", "data.py:"),
    "syntax error": (edit(f"{CODE}/model.py", "def build(", "def build("[:-1]), "SyntaxError", "model.py:"),
    "misspelt package": (edit(f"{CODE}/model.py", "import numpy as np", "import nunpy as np"), "nunpy", "model.py:"),
    "target that is none": (
        edit("config/mine.yaml", "column: left", "column: lft"),
        "target.column lft",
        "did you mean 'left'",
    ),
    "key that is none": (edit("config/mine.yaml", "key: [customer]", "key: [custmer]"), "custmer", "did you mean 'customer'"),
    "no return in features": (edit(f"{CODE}/data.py", "    return rows\n", "    rows.copy()\n"), "NoneType", "`return`"),
    "misspelt key": (edit("config/mine.yaml", "seed: 1", "sed: 1"), "sed", "did you mean 'seed'"),
    "misspelt parameter": (
        edit("config/mine.yaml", "regularisation: 1.0", "regularization: 1.0"),
        "regularization",
        "did you mean",
    ),
    "error in the baseline": (edit(f"{CODE}/model.py", "train[TARGET].mode()", 'train["lef"].mode()'), "lef", "model.py:"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_says_where_and_what(mine: Project, mistake: str) -> None:
    make, *words = MISTAKES[mistake]
    make(mine)
    done = mlops("train", "mine")
    assert done.code == 2, done.err
    for word in words:
        assert re.search(re.escape(word), done.error), done.error


def test_a_column_without_any_value_trains_and_a_target_that_is_none_is_refused(own: Project, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    people(60).assign(fax=None).to_csv(file, index=False)
    refused = mlops("add", "mine", "--from", file, "--target", "lft")
    assert refused.code == 2 and "did you mean 'left'" in refused.error
    assert not (own.root / "config" / "mine.yaml").exists()


def test_the_doctor_says_what_comes_next(mine: Project) -> None:
    assert mlops("doctor").err.splitlines()[-1].startswith("next: ")


IMPOSSIBLE = ["iris_", "a___b", "a__b", "größe", "2nd", "My Case", "class", "project", "n" * 60, "_x", "ridership.v2", "…"]


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_name_that_no_image_could_have_is_refused_and_the_one_proposed_is_taken(name: str) -> None:
    nothing = SimpleNamespace(use_cases=[])
    with pytest.raises(UserError) as refused:
        check_name(nothing, name)  # type: ignore[arg-type]
    check_name(nothing, str(refused.value).rpartition(" ")[2])  # type: ignore[arg-type]
