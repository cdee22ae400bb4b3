"""A project's pages: published where its team says so, with the card of each champion; the template shows the machinery's."""

from __future__ import annotations

import events
import offline
import pytest
from fake_github import FakeGitHub
from offline import Project, git
from scenes import push

pytestmark = [pytest.mark.workflows, pytest.mark.timeout(1800), pytest.mark.xdist_group("pages")]
TURNED_ON = ("--var", "MLOPS_PAGES=true")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, github: FakeGitHub) -> Project:
    """A repository whose main has trained its one use case."""
    copy = offline.make(tmp_path_factory.mktemp("pages"), github.url, keep=("machinery/docs/",))
    copy.commit("Another commit", "main", "main", {"docs/notes.md": "# Notes\n\nOurs.\n"})
    trained = push(copy, "main")
    assert trained.jobs["register"] == "success", trained.log[-4000:]
    return copy


@pytest.mark.parametrize(("settings", "conclusion"), [((), "success"), (TURNED_ON, "cancelled")])
def test_nothing_is_published_where_nobody_asked_for_it_or_nothing_was_trained(
    project: Project, settings: tuple[str, ...], conclusion: str
) -> None:
    project.forget_artifacts()
    run = project.run("pages.yml", "workflow_run", events.trained("main", conclusion), *settings)
    assert set(run.jobs.values()) == {"skipped"} and not (project.work / "pages").exists(), run.log[-3000:]


def test_the_site_has_the_pages_and_the_card_of_the_champion_with_its_plots(project: Project) -> None:
    project.forget_artifacts()
    run = project.run("pages.yml", "workflow_run", events.trained("main"), *TURNED_ON)
    assert run.names("success") == {"build", "deploy"}, run.log[-4000:]
    site = project.work / "pages"
    card = (site / "cards" / "iris.html").read_text(encoding="utf-8")
    number = project.registry()["iris"]["champion"]
    assert f"iris {number}" in card and "confusion.png" in card
    assert any(site.glob("_images/confusion*.png")) and "Ours." in (site / "notes.html").read_text(encoding="utf-8")
    assert f">{number}<" in (site / "cards" / "index.html").read_text(encoding="utf-8")
    assert 'href="cards/index.html"' in (site / "index.html").read_text(encoding="utf-8")
    assert git(project.root, "status", "--porcelain") == ""


def test_the_template_shows_the_pages_of_the_machinery(project: Project) -> None:
    project.forget_artifacts()
    run = project.run("pages.yml", "workflow_run", events.trained("main", is_template=True), *TURNED_ON)
    assert run.names("success") == {"build", "deploy"}, run.log[-4000:]
    assert (project.work / "pages" / "how-to.html").is_file() and not (project.work / "pages" / "notes.html").exists()
