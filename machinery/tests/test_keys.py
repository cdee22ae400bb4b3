"""The key: it changes with all that can change a model, and with nothing else."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest

from mlops import keys
from mlops.config import Project
from mlops.data import stages
from mlops.use_case import UseCase, load_use_case

# Modules that training runs through and that have no say in what a model becomes.
EXCEPTIONS = {
    "": "the name of the package",
    "console": "tells what is done",
    "errors": "tells what is wrong",
    "config.operations": "what serving, deployment and monitoring are set to; a model is the same for all of it",
    "git": "says which commit it was, which is logged beside the model",
    "folders": "where work in progress lies",
    "uncommitted": "keeps what the commit does not hold, which is logged beside the model",
    "secret_scan": "says what of it may not be kept",
    "dvc": "says which raw file is not here; what is read is compared by its digest",
    "damage": "says what is wrong with a store",
    "trust": "decides what may be loaded, not what is trained",
    "tracking_uri": "finds out whether the store answers",
    "tracking": "keeps what training hands it; moving a store must not make a new version",
}


def parts(project: Project, *overrides: str, package: Path | None = None) -> dict[str, str]:
    use_case = load_use_case(project, "iris", overrides)
    if package:
        use_case = replace(use_case, package=package)
    return asdict(keys.parts_of(project, use_case, stages.raw(project, use_case).sha256))


def test_the_same_key_each_time_and_in_another_folder(project: Project, template: Path) -> None:
    assert parts(project) == parts(project) == parts(project.model_copy(update={"root": template, "data": template / "data"}))


def more_data(project: Project) -> None:
    rows = pd.read_csv(project.data / "raw/iris/iris.csv").head(1).assign(flower=151)
    rows.to_csv(project.data / "raw/iris/more.csv", index=False)


def other_lock(project: Project) -> None:
    with (project.root / keys.LOCK).open("a") as file:
        file.write("another==1.0 \\\n    --hash=sha256:0\n")


def config_text(project: Project, old: str, new: str) -> None:
    file = project.root / "config/iris.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


CHANGES: dict[str, tuple[str, Callable[[Project], object]]] = {
    "data": ("data", more_data),
    "lock": ("lock", other_lock),
    "parameter": ("config", lambda project: config_text(project, "degree: 3", "degree: 2")),
    "seed": ("config", lambda project: config_text(project, "seed: 34", "seed: 35")),
    "split": ("config", lambda project: config_text(project, "holdout: 0.3", "holdout: 0.25")),
    "limit": ("config", lambda project: config_text(project, "limit: 0.5", "limit: 0.4")),
    "target number": ("config", lambda project: config_text(project, "number: 1", "number: 2")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_key_changes_with_data_lock_and_configuration(project: Project, change: str) -> None:
    part, make = CHANGES[change]
    before = parts(project)
    make(project)
    after = parts(project)
    assert {name for name in before if before[name] != after[name]} == {part}
    assert keys.Parts(**before).key != keys.Parts(**after).key


def test_key_changes_with_an_override_as_with_the_file(project: Project) -> None:
    overridden = parts(project, "parameters.degree=2")
    config_text(project, "degree: 3", "degree: 2")
    assert parts(project) == overridden


def test_key_changes_with_any_file_of_the_use_cases_code(project: Project, tmp_path: Path) -> None:
    source = load_use_case(project, "iris").package
    seen = {parts(project)["code"]}
    for name in ("data.py", "features.py", "model.py", "new.py", "below/deep.py"):
        package = tmp_path / name.replace("/", "_") / "iris"
        package.mkdir(parents=True)
        for file in (source.with_name("__init__.py"), *source.glob("*.py")):
            (package.parent / file.relative_to(source.parent)).write_bytes(file.read_bytes())
        assert parts(project, package=package)["code"] in seen
        (package / name).parent.mkdir(exist_ok=True)
        with (package / name).open("a") as file:
            file.write("\nX = 1\n")
        code = parts(project, package=package)["code"]
        assert code not in seen
        seen = {code, parts(project)["code"]}


def lock_text(project: Project) -> None:
    """The lock file with another project's name in its comments, and the hashes of one wheel more."""
    lock = project.root / keys.LOCK
    text = lock.read_text().replace("mlops-machinery", "other-project").replace(" \\\n", " \\\n    --hash=sha256:0 \\\n", 1)
    assert text != lock.read_text()
    lock.write_text("# compiled elsewhere\n" + text)


UNCHANGED: dict[str, Callable[[Project], object]] = {
    "description": lambda project: config_text(project, "Species of", "The species of"),
    "monitor": lambda project: config_text(project, "monitor: {days: 7,", "monitor: {days: 9, log_uri: /var/log/mlops,"),
    "comment and order": lambda project: config_text(project, "# Species of iris", "# The species of iris"),
    "search": lambda project: config_text(project, "trials: 12", "trials: 2"),
    "slices": lambda project: config_text(project, "bootstrap:", "slices: [petal_width]\nbootstrap:"),
    "changelog": lambda project: (project.root / "CHANGELOG.md").write_text("# 9.9.9\n"),
    "version": lambda project: (project.root / "setup.py").write_text("version='9.9.9'\n"),
    "readme": lambda project: (project.data / "raw/iris/README.md").write_text("other"),
    "workflow": lambda project: (project.root / "ci.yaml").write_text("on: push\n"),
    "project": lambda project: (project.root / ".env").write_text("MLOPS__PROJECT__NAMESPACE=other\n"),
    "comments and hashes of the lock": lambda project: lock_text(project),
    "another use case": lambda project: (project.root / "config/ridership.yaml").unlink(),
}


@pytest.mark.parametrize("change", UNCHANGED)
def test_key_does_not_change_with_what_cannot_change_a_model(project: Project, change: str) -> None:
    before = parts(project)
    UNCHANGED[change](project)
    assert parts(project) == before


def test_every_module_of_training_is_in_the_key_or_a_named_exception() -> None:
    """What is imported to train, in a fresh process, is what decides."""
    code = """
import sys
import mlops.training.train, mlops.training.evaluate, mlops.data.stages
print(*[name for name in sys.modules if name.split(".")[0] == "mlops"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.removeprefix("mlops").lstrip(".") for name in done.stdout.split()}
    covered = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in keys.MACHINERY}
    below = tuple(f"{name}." for name in covered if name != "config")
    assert {name for name in imported if name not in covered and not name.startswith(below)} == set(EXCEPTIONS)


def test_every_name_of_the_machinery_is_there() -> None:
    root = Path(keys.__file__).parent
    assert [name for name in keys.MACHINERY if not (root / name).exists()] == []


def test_machinery_of_another_module_is_another_digest() -> None:
    digests = [keys.machinery([name]) for name in keys.MACHINERY]
    assert len({*digests, keys.machinery()}) == len(digests) + 1


def test_missing_lock_is_reported_with_the_command_that_makes_it(project: Project) -> None:
    from command import mlops

    (project.root / keys.LOCK).unlink()
    done = mlops("train", "iris")
    assert (done.code, "base.txt is missing; it pins the environment: make lock" in done.error) == (2, True)


def test_use_case_is_bound_to_its_own_package(project: Project) -> None:
    use_case: UseCase = load_use_case(project, "iris")
    assert (use_case.package / "model.py").is_file() and use_case.package.name == "iris"
