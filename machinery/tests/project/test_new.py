"""A project as it is created: its files, its pages, and the answers that make it."""

import io
import re
import zipfile
from pathlib import Path

import pytest
from checkouts import ROOT, git
from thin_projects import created

from mlops.errors import ConfigError
from mlops.project import answers, new, shipped
from mlops.project.wheel import Wheel

pytestmark = pytest.mark.usefixtures("environment")


def test_a_project_has_at_most_100_files_and_names_nobody_else(first: Wheel, tmp_path: Path) -> None:
    root = created(tmp_path / "churn-models", first, name="churn-models", owner="Acme", description="Who leaves")
    files = git(root, "ls-files").splitlines()
    assert len(files) <= 100
    texts = {path: (root / path).read_text() for path in files if not path.endswith((".whl", ".csv"))}
    ours = re.compile(r"mlops-template|MLOps Template|template's authors", re.IGNORECASE)
    assert [path for path, text in texts.items() if ours.search(text)] == []
    assert "Acme" in texts["LICENSE"] and 'name="churn-models"' in texts["setup.py"]
    assert not [path for path in files if path.startswith(("machinery/", "src/mlops/"))]


@pytest.mark.parametrize("example", [*shipped.examples(), "none"])
def test_what_a_project_points_to_is_in_it_or_among_the_pages_of_its_wheel(example: str, first: Wheel, tmp_path: Path) -> None:
    root = created(tmp_path / "p", first, use_case=example, target="kubernetes")
    packed = zipfile.ZipFile(io.BytesIO(first.content)).namelist()
    named = []
    for path in git(root, "ls-files").splitlines():
        if path.endswith((".whl", ".csv", ".parquet", ".xlsx", ".json")) or path.startswith("requirements/"):
            continue
        text = (root / path).read_text(encoding="utf-8")
        links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text) if path.endswith(".md") else []
        named += [page for page in re.findall(r"mlops docs ([a-z][a-z-]*)`", text)]
        points = [*re.findall(r"(?<![\w/.])docs/[\w-]+\.md", text), *re.findall(r"machinery/(?:docs|tests|src)[\w./-]*", text)]
        assert [link for link in links if not (root / path).parent.joinpath(link).exists()] == [], path
        assert [point for point in points if not (root / point).exists()] == [], path
    assert named and {f"mlops/project/data/source/machinery/docs/{page}.md" for page in named} <= set(packed)


def test_the_pages_are_listed_and_shown(command) -> None:
    assert "deploy" in command("docs").out
    assert command("docs", "deploy").out == (ROOT / "machinery/docs/deploy.md").read_text(encoding="utf-8")
    unknown = command("docs", "deplyo")
    assert unknown.code == 2 and "no page 'deplyo', did you mean 'deploy'?" in unknown.err


def test_a_folder_with_a_modules_name_or_a_blank_gives_a_name_and_a_line_to_copy(
    first: Wheel, command, tmp_path: Path
) -> None:
    file = tmp_path / first.name
    file.write_bytes(first.content)
    done = command("new", str(tmp_path / "my work" / "copy"), "--defaults", "--wheel", str(file))
    assert (done.code, done.err.count("next: cd '")) == (0, 1), done.err
    assert "name: copy-models" in (tmp_path / "my work/copy/config/project.yaml").read_text()


@pytest.mark.parametrize("example", [*shipped.examples(), "none"])
@pytest.mark.parametrize("target", ["none", "kubernetes"])
def test_every_choice_makes_a_project_whose_configuration_is_read(
    example: str, target: str, first: Wheel, tmp_path: Path
) -> None:
    from mlops.config import load_project

    root = created(
        tmp_path / "p", first, use_case=example, target=target, pythons=("3.12",), tracking="https://models.example.org"
    )
    project = load_project(root)
    assert project.use_cases == ([] if example == "none" else [example])
    assert project.default_use_case == ("" if example == "none" else example)
    assert (root / "deploy/kubernetes/overlays/staging/kustomization.yaml").is_file() is (target == "kubernetes")
    assert re.findall(r"Python :: (3\.\d+)", (root / "setup.py").read_text()) == ["3.12"]


def test_a_link_to_an_empty_folder_is_one(first: Wheel, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    new.create(tmp_path / "link", answers.Answers(), first)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "disk/Makefile").is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: numpy", "numpy is the name of a module that is installed"),
        ("tracking: not a url", "tracking: MLflow keeps no registry at 'not a url'"),
        ("pythons: 3.9", "Python 3.9 is not supported; there are: 3.11, 3.12, 3.13"),
    ],
)
def test_an_answer_that_cannot_be_is_refused_by_its_key(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "answers.yaml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)):
        answers.from_file(tmp_path / "answers.yaml")


def test_without_somebody_to_answer_the_error_names_the_options(
    first: Wheel, command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    (tmp_path / first.name).write_bytes(first.content)
    done = command("new", str(tmp_path / "p"), "--wheel", str(tmp_path / first.name))
    assert (done.code, done.err.count("error: ")) == (2, 1)
    assert (
        "nobody answers 'Name of the project: letters, digits and dashes'" in done.err
        and "--defaults, or --answers FILE" in done.err
    )
    assert not (tmp_path / "p").exists()


def test_one_python_need_be_no_list() -> None:
    assert answers.checked({"pythons": 3.12}, "answers").pythons == ("3.12",)
