"""The cards of all champions as pages: what is written, in place of what, and that Sphinx takes it without a warning."""

import json
import shutil
import subprocess
import sys

import pytest
from checkouts import ROOT, git

from mlops.config import Project
from mlops.registry import card_pages


def test_each_champion_has_a_page_and_a_row_and_git_sees_neither(registered: Project, command):
    listed = json.loads(command("card", "--all", "--json").out)
    assert [facts["use_case"] for facts in listed] == ["iris"]
    folder = registered.root / "docs" / "cards"
    assert (folder / "iris.md").read_text() == command("card", "iris").out.replace("report/plots/", "iris/")
    index = (folder / "index.md").read_text()
    assert "| [iris](iris.md) | 1.0.0 |" in index and "macro_f1" in index
    assert (folder / "iris" / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert "docs" not in git(registered.root, "status", "--porcelain", "--untracked-files=all")


@pytest.mark.parametrize("trained", [True, False])
def test_sphinx_builds_a_projects_pages_with_the_cards_or_with_none(trained: bool, request: pytest.FixtureRequest, command):
    project = request.getfixturevalue("registered" if trained else "project")
    docs = project.root / "docs"
    docs.mkdir(exist_ok=True)
    for name in ("conf.py", "index.md", "iris.md", "iris.svg"):
        shutil.copyfile(ROOT / "docs" / name, docs / name)
    assert command("card", "--all").code == 0
    sphinx = (sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", "docs", "docs/_build")
    done = subprocess.run(sphinx, cwd=project.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'href="cards/index.html"' in (docs / "_build" / "index.html").read_text()
    page = docs / "_build" / "cards" / "iris.html"
    assert page.exists() is trained and (not trained or "confusion.png" in page.read_text())


def test_pages_take_the_place_of_those_before(registered: Project, command):
    command("card", "--all")
    gone = registered.root / "docs" / "cards" / "gone.md"
    gone.write_text("# A use case that was removed\n")
    assert command("card", "--all").code == 0
    assert not gone.exists() and (gone.parent / "iris.md").is_file()


def test_a_folder_with_pages_of_somebody_else_stays_as_it_is(registered: Project, command):
    own = registered.root / "docs" / "cards" / "iris.md"
    own.parent.mkdir(parents=True)
    own.write_text("ours\n")
    result = command("card", "--all")
    assert result.code == 2 and "docs/cards: not made by mlops card --all" in result.err and "--out" in result.err
    assert [path.name for path in own.parent.iterdir()] == ["iris.md"] and own.read_text() == "ours\n"
    assert command("card", "--all", "--out", str(registered.root / "cards")).code == 0
    assert (registered.root / "cards" / "index.md").is_file()


def test_a_project_without_a_store_or_a_champion_has_a_page_that_says_so(project: Project, command):
    assert command("card", "--all").code == 0
    assert "No use case has a champion yet." in (project.root / "docs" / "cards" / "index.md").read_text()
    assert not project.store.exists()


def test_a_version_that_is_no_champion_is_on_no_page(registered: Project, run):
    assert run(registered, "parameters.regularisation=1.5", alias="challenger").version.number == "1.0.1"
    assert [card.facts["number"] for card in card_pages.of_champions(registered)] == ["1.0.0"]


def test_all_and_one_use_case_do_not_go_together(project: Project, command):
    for more in (("iris",), ("--format", "hf")):
        result = command("card", "--all", *more)
        assert result.code == 2 and "leave out the use case and --format" in result.err
