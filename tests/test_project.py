"""What a team changes, and what the tests of the machinery run on, are kept apart."""

import shutil
from pathlib import Path

from checkouts import EXAMPLES, ROOT, lay_out, need_examples
from mlops.config import load_project
from mlops.use_case import load_use_case


def test_this_project_is_configured_and_each_of_its_use_cases_has_its_code(environment: None) -> None:
    project = load_project(ROOT)
    assert project.default_use_case in project.use_cases
    assert [load_use_case(project, name).name for name in project.use_cases] == project.use_cases


def test_the_tests_run_on_the_examples_whatever_else_a_project_has(environment: None, tmp_path: Path) -> None:
    need_examples()
    theirs = tmp_path / "theirs"
    shutil.copytree(ROOT / "config", theirs / "config")
    shutil.copytree(ROOT / "data" / "raw", theirs / "data" / "raw")
    for name in ("tests/project.yaml", "requirements/base.txt", ".gitignore"):
        (theirs / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, theirs / name)
    shutil.copyfile(theirs / "config" / "iris.yaml", theirs / "config" / "flowers.yaml")
    shutil.copytree(theirs / "data" / "raw" / "iris", theirs / "data" / "raw" / "flowers", dirs_exist_ok=True)
    (theirs / "config" / "project.yaml").write_text("{name: ours, default_use_case: flowers, namespace: ours}\n")
    lay_out(tmp_path / "project", theirs)
    project = load_project(tmp_path / "project")
    assert (project.name, project.default_use_case, project.namespace) == ("mlops-template", "ridership", "")
    assert tuple(project.use_cases) == tuple(sorted(path.name for path in (project.data / "raw").iterdir())) == EXAMPLES
