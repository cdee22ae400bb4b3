"""What the commands tell GitHub, against a fake of its API in the state of a fresh repository."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checkouts import git
from click.testing import Result
from fake_github import NAME, FakeGitHub, serve
from typer.testing import CliRunner

from mlops.cli import app
from mlops.errors import StoreUnreachable
from mlops.gitflow import comment, github
from mlops.monitoring import proposed

TREE = Path(__file__).parents[3]
Mlops = Callable[..., Result]


@pytest.fixture
def api() -> Iterator[FakeGitHub]:
    with serve() as fake:
        yield fake


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with a bare origin that has main alone, and this project's rulesets."""
    root = tmp_path / "project"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(tmp_path, "clone", "--quiet", "origin.git", "project")
    git(root, "config", "user.name", "Ada")
    git(root, "config", "user.email", "ada@example.org")
    shutil.copytree(TREE / ".github" / "rulesets", root / ".github" / "rulesets")
    git(root, "checkout", "--quiet", "-b", "main")
    commit(root, "setup.py", "first")
    return root


def commit(root: Path, name: str, text: str, branch: str = "main") -> None:
    """Commit a file and push it to a branch."""
    (root / name).write_text(text, encoding="utf-8")
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "-m", text)
    git(root, "push", "--quiet", "origin", f"HEAD:{branch}")


@pytest.fixture
def mlops(project: Path, api: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mlops:
    """Run a command as a step of a workflow does; `token` is the token that the run has."""
    monkeypatch.chdir(project)
    summary = tmp_path / "summary.md"
    for name in list(os.environ):
        if name.startswith(("GITHUB_", "GH_", "MLFLOW_", "MLOPS_")):
            monkeypatch.delenv(name)
    for name, value in {"ACTIONS": "true", "API_URL": api.url, "REPOSITORY": NAME, "STEP_SUMMARY": str(summary)}.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)

    def run(*arguments: str, token: str = "workflow-token") -> Result:
        monkeypatch.setenv("GITHUB_TOKEN", token)
        result = CliRunner().invoke(app, ["gitflow", *arguments])
        assert result.exit_code == 0, (result.output, result.exception)
        return result

    return run


def test_bootstrap_creates_dev_and_says_what_an_administrator_may_turn_on(mlops: Mlops, project: Path, tmp_path: Path) -> None:
    mlops("bootstrap")
    assert git(project, "rev-parse", "origin/main") in git(project, "ls-remote", "origin", "refs/heads/dev")
    summary = (tmp_path / "summary.md").read_text()
    assert "| branch `dev` | created from `main` |" in summary
    assert "| ruleset main | would create |" in summary and "make protect" in summary
    mlops("bootstrap")
    assert "| branch `dev` | there |" in (tmp_path / "summary.md").read_text()


def test_a_fresh_repository_gets_an_issue_with_the_link_instead_of_a_pull_request(
    mlops: Mlops, project: Path, api: FakeGitHub
) -> None:
    mlops("bootstrap")
    commit(project, "CHANGELOG.md", "release")
    result = mlops("backmerge", "--json")
    branch = json.loads(result.stdout)["branch"]
    assert git(project, "ls-remote", "origin", f"refs/heads/{branch}").split()[0] == git(project, "rev-parse", "HEAD")
    assert api.pulls == [] and len(api.issues) == 1
    assert f"https://github.com/{NAME}/compare/dev...{branch}?expand=1" in api.issues[0]["body"]
    commit(project, "CHANGELOG.md", "another")
    mlops("backmerge")
    assert len(api.issues) == 1 and branch not in api.issues[0]["body"]


def test_with_a_token_that_may_the_pull_request_is_opened_once(mlops: Mlops, project: Path, api: FakeGitHub) -> None:
    mlops("bootstrap")
    commit(project, "CHANGELOG.md", "release")
    for _ in range(2):
        mlops("backmerge", token="app-token")
    assert [(pull["base"]["ref"], pull["title"]) for pull in api.pulls] == [("dev", "Back-merge main into dev")]
    assert api.issues == []


@pytest.mark.parametrize("has_main", [True, False])
def test_a_default_branch_that_is_not_main_is_named(
    mlops: Mlops, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_main: bool
) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"repository": {"default_branch": "master"}}), encoding="utf-8")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    git(project.parent / "origin.git", "symbolic-ref", "HEAD", "refs/heads/master")
    git(project, "push", "--quiet", "origin", "main:master", *([] if has_main else [":main"]))
    done = mlops("bootstrap")
    summary = (tmp_path / "summary.md").read_text()
    assert "::warning::the default branch is master" in done.output and "Settings → General → Default branch" in summary
    assert ("refs/heads/dev" in git(project, "ls-remote", "origin")) is has_main


@pytest.mark.parametrize(("token", "waits"), [("workflow-token", True), ("app-token", False)])
def test_checks_that_wait_for_a_person_are_pointed_out_where_the_pull_request_is_opened(
    mlops: Mlops, project: Path, api: FakeGitHub, tmp_path: Path, token: str, waits: bool
) -> None:
    """GitHub holds back the runs of a pull request that a workflow's token opens; one of an app runs at once."""
    rows = {row["what"]: row for row in json.loads(mlops("protect", "--apply", "--json", token="admin-token").stdout)}
    assert "Approve workflows to run" in rows["workflows may open pull requests"]["why"]
    mlops("bootstrap")
    commit(project, "CHANGELOG.md", "release")
    mlops("backmerge", token=token)
    summary = (tmp_path / "summary.md").read_text()
    assert ("Approve workflows to run" in summary.split("Back-merge")[1]) is waits
    assert "Approve workflows to run" in api.pulls[0]["body"]


def test_a_squashed_backmerge_is_not_proposed_again(mlops: Mlops, project: Path, api: FakeGitHub) -> None:
    mlops("bootstrap")
    commit(project, "CHANGELOG.md", "release")
    git(project, "fetch", "--quiet", "origin")
    git(project, "checkout", "--quiet", "-b", "squash", "origin/dev")
    git(project, "merge", "--quiet", "--squash", "main")
    git(project, "commit", "--quiet", "-m", "squashed")
    git(project, "push", "--quiet", "origin", "HEAD:dev")
    ours = {"user": {"login": "github-actions[bot]", "type": "Bot"}, "author_association": "NONE"}
    api.issues = [{"number": 1, "state": "open", "title": "Back-merge main into dev", **ours}]
    assert json.loads(mlops("backmerge", "--json").stdout)["action"] == "skip"
    assert api.pulls == [] and [issue["state"] for issue in api.issues] == ["closed"]


def test_conflicts_are_named_and_proposed_all_the_same(mlops: Mlops, project: Path, api: FakeGitHub) -> None:
    mlops("bootstrap")
    commit(project, "setup.py", "on main")
    git(project, "fetch", "--quiet", "origin")
    git(project, "checkout", "--quiet", "-b", "work", "origin/dev")
    commit(project, "setup.py", "on dev", branch="dev")
    result = json.loads(mlops("backmerge", "--json", token="app-token").stdout)
    assert "1 conflicting files to settle: setup.py" in result["reason"] and result["pull_request"]


def test_a_dry_run_tells_and_does_nothing(mlops: Mlops, project: Path, api: FakeGitHub) -> None:
    mlops("bootstrap", "--dry-run")
    assert json.loads(mlops("backmerge", "--dry-run", "--json").stdout)["action"] == "create"
    assert "dev" not in git(project, "ls-remote", "origin") and api.issues == []


RUN = {
    "head_branch": "feature/x",
    "head_sha": "a" * 40,
    "head_repository": {"full_name": "eve/demo", "owner": {"login": "eve"}},
    "html_url": "https://github.com/ada/demo/actions/runs/1",
}


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The artifact of a run for a fork's pull request."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"workflow_run": RUN}), encoding="utf-8")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    folder = tmp_path / "reports"
    (folder / "iris").mkdir(parents=True)
    (folder / "iris" / "report.md").write_text("# Iris\n\n| metric | value |\n", encoding="utf-8")
    return folder


def test_the_report_becomes_one_comment_that_is_kept_up_to_date(
    mlops: Mlops, api: FakeGitHub, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull = api.add_pull("feature/x", "dev", "a" * 40, owner="eve")
    api.add_pull("feature/x", "dev", "a" * 40, owner="mallory")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event.json"))
    mlops("comment", str(report))
    (report / "iris" / "report.md").write_text("# Iris again\n", encoding="utf-8")
    mlops("comment", str(report))
    (only,) = api.comments
    assert only["issue"] == pull["number"] and "# Iris again" in only["body"] and only["body"].startswith(comment.MARKER)


def test_a_head_that_has_moved_on_gets_no_comment(
    mlops: Mlops, api: FakeGitHub, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.add_pull("feature/x", "dev", "b" * 40, owner="eve")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event.json"))
    mlops("comment", str(report))
    assert api.comments == []


def test_a_read_only_token_writes_no_comment_and_is_no_failure(
    mlops: Mlops, api: FakeGitHub, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.add_pull("feature/x", "dev", "a" * 40, owner="eve")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event.json"))
    result = mlops("comment", str(report), token="fork-token")
    assert api.comments == [] and "::notice::the report stays in the summary" in result.output


def test_an_artifact_is_text_and_nothing_else(report: Path) -> None:
    (report / "link").symlink_to("/etc")
    (report / "Odd name!").mkdir()
    (report / "Odd name!" / "report.md").write_text("odd")
    (report / "file").mkdir()
    (report / "file" / "report.md").symlink_to("/etc/passwd")
    assert comment.reports(report) == ["# Iris\n\n| metric | value |\n"]


@pytest.mark.parametrize(
    ("bad", "gone"),
    [
        ("hello @everyone", "@everyone"),
        ("![x](https://evil.example/pixel.png)", "evil.example"),
        ("<img src=https://evil.example/x>", "<img"),
        ("[click](javascript:alert(1))", "javascript"),
        ("see https://evil.example", "https://"),
        ("<!-- mlops: model report --> spoof", "<!--"),
        ("a\x1b[31mred\x00", "\x1b"),
        ("rtl \u202e txt", "\u202e"),
        ('<im<a>g src="//evil.example/x.png">', "<img"),
        ('<im<a>g src="//evil.example/x.png">', "//"),
        ("<details open onclick=x>", "<details"),
        ("[a[x](y)](//evil.example)", "]("),
        ("[a[x](y)](//evil.example)", "//"),
        ("[click][1]\n\n[1]: //evil.example", "]:"),
        ("[click][1]\n\n[1]: //evil.example", "]["),
        ("see www.evil.example or WWW.evil.example", "www."),
        ("&#64;everyone &commat;everyone", "&#"),
        ("[" * 50_000 + "](" * 50_000, "]("),
    ],
)
def test_what_could_call_or_track_a_person_is_taken_out(bad: str, gone: str) -> None:
    assert gone not in comment.harmless(bad).lower()


SHOWN = """## iris: ✅ passes the gate

Species of an iris flower. Judgement: better than 1.0.0 (improvement +0.0100 to +0.0200, 95 % interval on the same rows).

| metric | this model | champion | baseline | limit | verdict |
|:--|--:|--:|--:|:--|:--|
| accuracy | 0.9804 | – | 0.3333 | ≥ 0.9 | pass, a < b \\| c |

```mermaid
---
config: {xyChart: {width: 600, height: 200}}
---
xychart-beta horizontal
  x-axis ["this model", "champion 1.0.0"]
  y-axis "accuracy" 0 --> 1.02
```

PLOT
<details><summary>What it was made from</summary>

| | |
|:--|:--|
| key | `0123456789abcdef` |

</details>

<details><summary>Cell 4 changed: source and outputs</summary>

```diff
-if a < b and x[0] // 2: pass
+@decorator
```

</details>"""


def test_a_report_is_shown_as_it_was_written() -> None:
    shown = comment.harmless(SHOWN.replace("PLOT", "![confusion](plots/confusion.png)"))
    assert shown.replace("\u200b", "") == SHOWN.replace("PLOT", "confusion")
    tags = "<details>", "</details>", "<summary>", "</summary>"
    assert [shown.count(tag) for tag in tags] == [SHOWN.count(tag) for tag in tags]
    changed = [line for line in shown.splitlines() if "\u200b" in line]
    assert [line.replace("\u200b", "") for line in changed] == [
        line for line in SHOWN.splitlines() if re.search("a < b|^[+]@", line)
    ]


def test_a_long_report_is_cut_to_what_a_comment_holds() -> None:
    body = comment.body(["```\n" + "x" * 50 + "\n" * 1 + "line\n" * 40_000], "https://host/run")
    assert len(body) < 65_536 and "longer than a comment" in body and body.count("```") % 2 == 0 and "https://host/run" in body


def test_protection_is_shown_first_applied_on_wish_and_then_left_alone(mlops: Mlops, api: FakeGitHub) -> None:
    rows = json.loads(mlops("protect", "--json", token="admin-token").stdout)
    assert {row["state"] for row in rows} == {"would create", "would allow"} and api.rulesets == []
    done = json.loads(mlops("protect", "--apply", "--reviewer", "grace", "--json", token="admin-token").stdout)
    assert {row["state"] for row in done} == {"created", "allowed"}
    assert {row["name"] for row in api.rulesets} == {"main", "dev", "release and hotfix", "release tags"}
    assert api.environments["production"]["reviewers"] == [{"type": "User", "id": 4711}]
    tags_and_main = [{"name": "v*-rc.*", "type": "tag"}, {"name": "main", "type": "branch"}]
    assert api.environments["staging"]["policies"] == tags_and_main
    again = json.loads(mlops("protect", "--apply", "--json", token="admin-token").stdout)
    assert {row["state"] for row in again} == {"as it is"}
    api.rulesets[0]["enforcement"] = "disabled"
    assert "updated" in {row["state"] for row in json.loads(mlops("protect", "--apply", "--json", token="admin-token").stdout)}


def test_what_plan_or_token_does_not_allow_is_reported_and_the_rest_goes_on(mlops: Mlops, api: FakeGitHub) -> None:
    api.plan_has_rulesets = False
    done = {row["what"]: row for row in json.loads(mlops("protect", "--apply", "--json", token="admin-token").stdout)}
    assert done["ruleset main"]["state"] == "not available" and "Upgrade" in done["ruleset main"]["why"]
    assert done["environment staging"]["state"] == "created"
    refused = json.loads(mlops("protect", "--apply", "--json", token="workflow-token").stdout)
    assert {row["state"] for row in refused if row["what"].startswith(("ruleset", "workflows"))} == {"not available"}


def test_the_minutes_are_added_up_as_github_counts_them(mlops: Mlops, api: FakeGitHub, tmp_path: Path) -> None:
    api.jobs = [
        {"name": "plan", "started_at": "2026-11-21T10:00:00Z", "completed_at": "2026-11-21T10:00:20Z"},
        {"name": "train", "started_at": "2026-11-21T10:00:00Z", "completed_at": "2026-11-21T10:02:01Z"},
        {"name": "waits", "started_at": None, "completed_at": None},
    ]
    assert json.loads(mlops("minutes", "--json").stdout) == {"jobs": {"plan": 1, "train": 3}, "minutes": 4}
    assert "| **all** | **4** |" in (tmp_path / "summary.md").read_text()


def test_lists_longer_than_a_page_are_read_to_the_end(api: FakeGitHub) -> None:
    api.comments = [{"id": number, "issue": 1, "body": str(number)} for number in range(250)]
    repo = github.Repository(api.url, NAME, "workflow-token")
    assert len(github.listed(repo, "issues/1/comments")) == 250


def test_no_answer_is_reported_in_one_line() -> None:
    with pytest.raises(StoreUnreachable, match="does not answer"):
        github.call(github.Repository("http://127.0.0.1:9", NAME, ""), "GET", "pulls")


STRANGER = {"user": {"login": "eve", "type": "User"}, "author_association": "CONTRIBUTOR"}


def test_a_strangers_comment_and_issue_are_not_taken_for_ours(api: FakeGitHub) -> None:
    repo = github.Repository(api.url, NAME, "workflow-token")
    api.comments = [{"id": 1, "issue": 7, "body": f"{comment.MARKER} looks good", **STRANGER}]
    api.issues = [{"number": 1, "state": "open", "title": "Drift", "body": "mine", **STRANGER}]
    assert [github.put_comment(repo, 7, comment.MARKER, text) for text in ("one", "two")] == ["created", "updated"]
    assert [row["body"].split("\n")[-1] for row in api.comments] == [f"{comment.MARKER} looks good", "two"]
    for text in ("one", "two"):
        github.open_issue(repo, "Drift", text)
    assert [row["body"] for row in api.issues] == ["mine", "two"]
    assert github.close_issues(repo, "Drift") == 1 and api.issues[0]["state"] == "open"


def test_the_link_in_a_strangers_issue_of_the_same_title_stays(api: FakeGitHub) -> None:
    repo = github.Repository(api.url, NAME, "workflow-token")
    api.issues = [{"number": 1, "state": "open", "title": "Drift", "body": "see LINK", **STRANGER}]
    github.open_issue(repo, "Drift", "see LINK")
    proposed._name_in_issue(repo, {"issue": "Drift", "link": "LINK"}, "PULL")
    assert [row["body"] for row in api.issues] == ["see LINK", "see PULL"]


@pytest.mark.parametrize("text", ["see #12", "ada/demo#3 and GH-4, gh-5", "(#6)", "**#7**"])
def test_no_text_of_a_report_refers_to_an_issue(text: str) -> None:
    harmless = comment.harmless(text)
    assert not re.search(r"#\d|GH-\d", harmless, re.IGNORECASE) and harmless.replace("\u200b", "") == text


def test_the_colours_of_a_chart_are_no_references() -> None:
    assert comment.harmless('plotColorPalette: "#0072B2, #D55E00"') == 'plotColorPalette: "#0072B2, #D55E00"'
