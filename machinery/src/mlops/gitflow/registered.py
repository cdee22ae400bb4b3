"""What the job register wrote, kept where a push cannot write it: as a status of the commit, by GitHub Actions itself.

`refs/mlops/store` may be overwritten by whoever can push. The status holds the digest of the commit's release record and of
the manifests of its versions, which in turn hold the digests of their files. GitHub names the author of a status: with the
token of a workflow it is github-actions[bot], which no person and no other app can be. Somebody who may push workflows can
run one that posts a status; who that is, branch rules and reviews decide.
https://docs.github.com/en/rest/commits/statuses
"""

from __future__ import annotations

from mlops import digests, runner, tracking
from mlops.config import Project
from mlops.errors import StoreUnreachable, UserError
from mlops.git import repository
from mlops.gitflow import github

CONTEXT = "mlops/registered"
AUTHOR = ("github-actions[bot]", "Bot")


def digest(project: Project, commit: str) -> str:
    """The digest of a commit's release record and of the manifests of the versions in it, as the store has them."""
    from mlops.registry import releases, versions

    record = releases.read(project, commit)
    manifests = {}
    for name, number in record.items():
        with tracking.open_store(project, make=False) as client:
            known = versions.all_of(client, versions.qualified(project, name))
        manifests[name] = versions.choose(name, known, number).tags.get("manifest_digest", "")
    return digests.of_value({"commit": commit, "versions": record, "manifests": manifests})


def post(project: Project, commit: str) -> None:
    """Post the status of a commit that was just registered; a notice where GitHub does not take it."""
    if not tracking.is_embedded(project):
        runner.notice("the store is a tracking server: who may write to it is the server's to decide, no status is posted")
        return
    text = f"sha256:{digest(project, commit)}"
    body = {"state": "success", "context": CONTEXT, "description": text}
    try:
        github.call(github.connect(repository(project.root)), "POST", f"statuses/{commit}", body)
    except (github.GitHubError, StoreUnreachable) as error:
        runner.notice(f"no release will take what was registered, as its status {CONTEXT} is not posted: {error}", "warning")


def verify(project: Project, commit: str) -> None:
    """Raise UserError where the store does not hold what the job register has written for a commit.

    Where GitHub does not answer, or the store is a tracking server, a notice says that nothing was compared.
    """
    if not tracking.is_embedded(project):
        runner.notice("the store is a tracking server: what it holds is not compared with what was registered")
        return
    try:
        rows = github.listed(github.connect(repository(project.root)), f"commits/{commit}/statuses")
    except StoreUnreachable as error:
        runner.notice(f"the store is not compared with what was registered: {error}", "warning")
        return
    ours = [row for row in rows if row["context"] == CONTEXT and _author(row) == AUTHOR]
    if not ours:
        raise UserError(
            f"commit {commit[:12]} has no status {CONTEXT} by {AUTHOR[0]}: nothing shows that its versions were registered by "
            "the workflow; run the workflow `train` on it"
        )
    if ours[0]["description"] != f"sha256:{digest(project, commit)}":
        raise UserError(
            f"refs/mlops/store is not what the workflow registered for commit {commit[:12]}: somebody wrote to it since; "
            "bring back the earlier store with git push --force, or run the workflow `train` on the commit"
        )


def _author(row: dict[str, dict[str, str]]) -> tuple[str, str]:
    creator = row.get("creator") or {}
    return creator.get("login", ""), creator.get("type", "")
