"""New raw data from the labelled log, proposed as a branch and a pull request into dev: they are retrained by merging them.

Nothing is trained or deployed here; the pull request goes through the same checks and the same gate as any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops import dvc, folders, runner
from mlops.config import Project
from mlops.data import schemas, stages
from mlops.dvc import large
from mlops.errors import DataError
from mlops.git import compare_link, credentials, exists, fetch_branches, git, identity, repository
from mlops.gitflow import approval, branches, github
from mlops.monitoring import labels
from mlops.monitoring.labels import TRUTH
from mlops.monitoring.log import REQUEST, ROW
from mlops.monitoring.monitor import Check

if TYPE_CHECKING:
    import pandas as pd

    from mlops.use_case import UseCase


@dataclass(frozen=True)
class Proposal:
    """What became of it: the branch ("" for none), its new rows, the pull request or the link that opens it, and why."""

    branch: str
    rows: int
    pull_request: str
    link: str
    message: str


def propose(project: Project, use_case: UseCase, check: Check, aside: Path | None = None) -> Proposal:
    """Push data/<use case>-<date> with the rows that dev does not have and open its pull request.

    With `aside` nothing is pushed or opened: both are left in that folder for `mlops propose`, which may write.
    Proposes nothing, and says why, where no outcome has come, where every labelled row is known, where the rows break the
    raw schema, and where an earlier proposal has not been merged yet.
    """
    root = project.root
    fetch_branches(root)
    if not exists(f"origin/{branches.DEV}", root):
        return _nothing(f"origin has no branch {branches.DEV}: make it with `mlops gitflow bootstrap`")
    if not project.data.is_relative_to(root):
        return _nothing(f"the data folder {project.data} is not in the repository")
    if waiting := _waiting(project, use_case.name):
        message = f"`{waiting}` waits to be merged; delete the branch to have it created anew"
        if aside:
            return _set_aside(project, use_case, check, Proposal(waiting, 0, "", "", message), aside, None)
        return _opened(project, use_case, check, waiting, 0, message)
    rows, why = labelled_rows(use_case, check)
    if rows is None:
        return _nothing(why)
    branch = _free_name(root, f"data/{use_case.name}-{check.created:%Y-%m-%d}", check)
    with _dev(project) as checkout:
        new = _unknown(checkout, use_case, rows)
        if new.empty:
            return _nothing(f"the {len(rows)} labelled rows are in the raw data already")
        try:
            _commit(checkout, use_case, new, branch, check)
        except DataError as error:
            return _nothing(f"the labelled rows break the raw schema: {str(error).replace(str(checkout.root), '')}")
        message = f"{len(new)} new labelled rows are proposed as `{branch}`"
        if aside:
            return _set_aside(project, use_case, check, Proposal(branch, len(new), "", "", message), aside, checkout.root)
        git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}", root=checkout.root, env=credentials(root))
    return _opened(project, use_case, check, branch, len(new), message)


def labelled_rows(use_case: UseCase, check: Check) -> tuple[pd.DataFrame | None, str]:
    """The rows with a known outcome in the columns of the raw data, or None and why there are none."""
    import pandas as pd

    labelled = check.labels
    if labelled is None or labelled.kind == "own":
        return None, "no outcomes have come: set `monitor.labels` in the use case's configuration to where they arrive"
    columns = labels.raw_columns(use_case)
    if labelled.kind == "raw":
        return labelled.rows[columns], ""
    joined = [item.joined for item in check.versions if item.joined is not None and len(item.joined)]
    if not joined:
        return None, "none of the labels belongs to a row of the log yet"
    on = {"request": REQUEST, "row": ROW} if "row" in labelled.rows else {"request": REQUEST}
    rows = pd.concat(joined, ignore_index=True)
    given = labelled.rows.rename(columns=on).astype({REQUEST: str}).drop_duplicates(list(on.values()))
    # What the labels say of a column is newer than what the log says.
    logged = rows.drop(columns=[name for name in given if name in rows and name not in on.values()] + [TRUTH])
    rows = logged.merge(given, on=list(on.values()), how="inner")
    missing = [name for name in columns if name not in rows]
    if missing:
        return None, (
            f"column {missing[0]} of the raw data is neither in the labels nor in the log: "
            "give the labels every column of the raw data"
        )
    return rows[columns], ""


def body(use_case: UseCase, check: Check, rows: int) -> str:
    """The text of the pull request."""
    return (
        f"The inputs or outputs of {use_case.name} have drifted. This adds {rows or 'the'} labelled rows of the prediction "
        "log to the raw data: keys that are there already were left out, and the rows keep to the raw schema.\n\n"
        "Merging it trains the model anew, through the same gate as any change: it becomes the challenger if it is good "
        "enough, and nothing is deployed by it.\n\n"
        f"Window: {check.log.since:%Y-%m-%d %H:%M} to {check.log.until:%Y-%m-%d %H:%M} UTC.\n"
    )


def _nothing(why: str) -> Proposal:
    return Proposal("", 0, "", "", f"No new data are proposed: {why}")


def _waiting(project: Project, name: str) -> str:
    """A branch of an earlier proposal whose file dev does not have, "" where there is none."""
    folder = (project.data / "raw" / name).relative_to(project.root)
    listed = git("for-each-ref", "--format=%(refname:lstrip=3)", f"refs/remotes/origin/data/{name}-*", root=project.root)
    for branch in sorted(listed.splitlines(), reverse=True):
        file = folder / f"{branch.removeprefix('data/')}.csv"
        if not git("ls-tree", f"origin/{branches.DEV}", "--", str(file), root=project.root):
            return branch
    return ""


def _free_name(root: Path, name: str, check: Check) -> str:
    """The name of today's branch; a second one of a day carries the time."""
    return f"{name}-{check.created:%H%M%S}" if exists(f"origin/{name}", root) else name


@contextmanager
def _dev(project: Project) -> Iterator[Project]:
    """The project as dev has it, in a checkout of its own that is gone afterwards."""
    root = project.root
    with folders.work_folder() as scratch:
        place = scratch.resolve() / "dev"
        git("worktree", "add", "--quiet", "--detach", str(place), f"origin/{branches.DEV}", root=root)
        try:
            checkout = project.model_copy(update={"root": place, "data": place / project.data.relative_to(root)})
            if dvc.pointers(checkout.data / "raw"):
                large.restore(checkout)
            yield checkout
        finally:
            git("worktree", "remove", "--force", str(place), root=root, check=False)


def _unknown(checkout: Project, use_case: UseCase, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows whose key the raw data do not have, each key once."""
    import pandas as pd

    schema = schemas.complete(use_case.schema("raw"), "raw", use_case.config.key)
    keys = schema.unique or []
    if not keys:
        return rows
    known = pd.concat(
        [stages.rows_of(use_case, item.path)[keys] for item in stages.raw(checkout, use_case).files], ignore_index=True
    )
    both = pd.concat([_texts(known, schema), _texts(rows[keys], schema)], ignore_index=True)
    return rows[~both.duplicated().to_numpy()[len(known) :]].reset_index(drop=True)


def _texts(keys: pd.DataFrame, schema: object) -> pd.DataFrame:
    """Keys in the types of the schema, as texts: two spellings of a date are the same key."""
    columns = schema.columns  # type: ignore[attr-defined]
    texts: pd.DataFrame = keys.apply(lambda column: column.astype(str(columns[column.name].dtype)).astype(str))
    return texts


def _commit(checkout: Project, use_case: UseCase, rows: pd.DataFrame, branch: str, check: Check) -> None:
    """Add the rows to dev's raw data as `mlops data add` does, and commit them."""
    numbers = ", ".join(item.number for item in check.versions if item.joined is not None)
    source = f"prediction log of version {numbers} and its outcomes, {check.log.since:%Y-%m-%d} to {check.log.until:%Y-%m-%d}"
    with folders.work_folder() as scratch:
        file = scratch / f"{branch.removeprefix('data/')}.csv"
        rows.to_csv(file, index=False)
        stages.add(checkout, use_case, file, source, "the project's own")
    folder = (checkout.data / "raw" / use_case.name).relative_to(checkout.root)
    git("add", "--", str(folder), root=checkout.root)
    message = f"{use_case.name}: {len(rows)} new labelled rows from the prediction log"
    git("commit", "--quiet", "-m", message, root=checkout.root, env=identity(checkout.root))


def _title(use_case: UseCase, branch: str) -> str:
    return f"New data for {use_case.name} of {re.sub('^data/[^-]*-', '', branch)}"


def _set_aside(
    project: Project, use_case: UseCase, check: Check, proposal: Proposal, aside: Path, checkout: Path | None
) -> Proposal:
    """Leave the proposal for the job that may write; the link opens its pull request where that job may not."""
    from mlops.monitoring import proposed

    link = compare_link(project.root, branches.DEV, proposal.branch)
    facts = {
        "branch": proposal.branch,
        "title": _title(use_case, proposal.branch),
        "body": f"{body(use_case, check, proposal.rows)}\n{approval.IF_THEY_WAIT}\n",
        "link": link,
        "issue": f"Drift in service: {use_case.name}",
    }
    proposed.set_aside(aside / use_case.name, facts, checkout)
    runner.output("proposed", "true")
    return Proposal(proposal.branch, proposal.rows, "", link, f"{proposal.message}. Its pull request: {link}")


def _opened(project: Project, use_case: UseCase, check: Check, branch: str, rows: int, message: str) -> Proposal:
    """The proposal with its pull request, opened now if there is none, or the link to open it where the token may not."""
    try:
        repo = github.connect(repository(project.root))
        text = f"{body(use_case, check, rows)}\n{approval.IF_THEY_WAIT}\n"
        pull = github.open_pull_request(repo, branch, branches.DEV, _title(use_case, branch), text)
        return Proposal(branch, rows, pull["html_url"], "", f"{message}: {pull['html_url']}\n\n{approval.hint(pull)}".rstrip())
    except github.GitHubError as refused:
        runner.notice(str(refused))
    link = compare_link(project.root, branches.DEV, branch)
    return Proposal(branch, rows, "", link, f"{message}. The token may not open pull requests: [open it]({link})")
