"""A use case is copied, renamed and removed as a whole; nothing else is touched."""

from pathlib import Path

import pytest
from command import mlops

from mlops.config import Project, load_project, load_use_case_config
from mlops.data import stages
from mlops.use_case import load_use_case


def state(root: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(root)): file.read_bytes()
        for file in root.rglob("*")
        if file.is_file() and ".git" not in file.parts
    }


@pytest.fixture
def flowers(own: Project) -> Project:
    """A project with a third use case, whose code is its own."""
    package = own.root / "src" / "use_cases" / "iris"
    package.mkdir(parents=True)
    for file in (Path(__file__).parents[3] / "src" / "use_cases" / "iris").glob("*.py"):
        (package / file.name).write_bytes(file.read_bytes())
    assert mlops("add", "flowers", "--like", "iris").code == 0
    return load_project()


def test_a_copy_loads_its_own_data_and_leaves_the_example_alone(flowers: Project) -> None:
    assert "flowers" in flowers.use_cases
    rows, raw = stages.read_processed(flowers, load_use_case(flowers, "flowers"))
    assert len(rows) == 150
    assert raw.files[0].path.parent.name == "flowers"
    assert (flowers.data / "raw" / "iris" / "iris.csv").is_file()


def test_rename_moves_every_file_and_the_default(flowers: Project) -> None:
    file = flowers.root / "config" / "project.yaml"
    file.write_text(file.read_text().replace("default_use_case: ridership", "default_use_case: flowers"))
    assert mlops("rename", "flowers", "blooms").code == 0
    project = load_project()
    assert (project.default_use_case, project.use_cases) == ("blooms", ["blooms", "iris", "ridership"])
    assert not [path for path in state(project.root) if "flowers" in path]
    assert load_use_case_config(project, "blooms").target.column == "species"


def test_remove_takes_what_add_wrote_and_nothing_else(flowers: Project) -> None:
    before = state(flowers.root)
    question = mlops("remove", "flowers")
    assert question.code == 2 and "--yes" in question.error
    assert state(flowers.root) == before
    done = mlops("remove", "flowers", "--yes")
    assert done.code == 0 and "mlops history flowers" in done.err
    left = state(flowers.root)
    assert left == {path: content for path, content in before.items() if "flowers" not in path}


@pytest.mark.parametrize("name", ["iris", "class", "My Model", "project"])
def test_a_name_that_is_taken_or_none_is_refused_and_nothing_is_written(flowers: Project, name: str) -> None:
    before = state(flowers.root)
    assert mlops("rename", "flowers", name).code == 2
    assert mlops("add", name, "--like", "flowers").code == 2
    assert state(flowers.root) == before


def test_the_default_use_case_is_not_removed(flowers: Project) -> None:
    assert "default_use_case" in mlops("remove", "ridership", "--yes").error


@pytest.mark.parametrize("named", ['""', "gone"])
def test_where_the_default_use_case_is_not_there_the_new_one_becomes_it(own: Project, named: str) -> None:
    file = own.root / "config" / "project.yaml"
    file.write_text(file.read_text().replace("default_use_case: ridership", f"default_use_case: {named}"))
    assert mlops("add", "own_taxi", "--like", "taxi").code == 0
    project = load_project()
    assert project.default_use_case == "own_taxi"
    assert mlops("add", "more", "--like", "points").code == 0
    assert load_project().default_use_case == "own_taxi"
