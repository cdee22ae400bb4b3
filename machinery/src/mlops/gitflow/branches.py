"""Which branch may go into which: the whole policy as one table.

| into | may come | from a fork |
|---|---|---|
| main | release/X.Y.Z, hotfix/X.Y.Z | nothing |
| dev | feature/*, bugfix/*, data/*, release/*, hotfix/*, backmerge/*, main, names by bots | any but main and backmerge/* |
| release/X.Y.Z | bugfix/*, revert-*, hotfix/X.Y.Z, backmerge/*, main | nothing |

A branch cannot be renamed under its pull request, so what bots and GitHub's pages name comes in as it is: dependabot/*,
renovate/*, copilot/*, reverts (revert-12-feature/x) and edits in the browser (patch-1, ada-patch-1).
"""

from __future__ import annotations

import re

from mlops.errors import UserError

MAIN = "main"
DEV = "dev"
VERSION = r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)"
KINDS = ("feature", "bugfix", "data", "release", "hotfix", "backmerge", "dependabot", "renovate", "copilot")
# Names that GitHub gives: "Revert" of a pull request, and a file that is edited in the browser.
GIVEN = {"revert": re.compile(r"revert-\d+-.+"), "patch": re.compile(r"(?:[\w-]+-)?patch-\d+")}
SHOWN = {"revert": "revert-*", "patch": "patch-N", MAIN: MAIN, "release": "release/X.Y.Z", "hotfix": "hotfix/X.Y.Z"}
INTO_DEV = ("feature", "bugfix", "data", "dependabot", "renovate", "copilot", "revert", "patch")
ALLOWED = {
    MAIN: ("release", "hotfix"),
    DEV: (*INTO_DEV, "release", "hotfix", "backmerge", MAIN),
    # A hotfix that lands while a release is open comes in by its own branch, by main, or by the branch of a back-merge.
    "release": ("bugfix", "revert", "hotfix", "backmerge", MAIN),
}


def kind(branch: str) -> str:
    """Return "main", "dev", one of KINDS or GIVEN, or "" for a name that the model of branches does not know."""
    if branch in (MAIN, DEV):
        return branch
    if given := next((name for name, pattern in GIVEN.items() if pattern.fullmatch(branch)), ""):
        return given
    prefix, _, rest = branch.partition("/")
    if prefix not in KINDS or not rest:
        return ""
    if prefix in ("release", "hotfix"):
        return prefix if re.fullmatch(VERSION, rest) else ""
    return prefix


def version_of(branch: str) -> str:
    """Return the version that a release or hotfix branch is named after, "" for any other branch."""
    return branch.partition("/")[2] if kind(branch) in ("release", "hotfix") else ""


def problems(head: str, base: str, foreign: bool = False) -> list[str]:
    """Return why `head` may not be merged into `base`, one line each; an empty list is a pass.

    `foreign` says that the head lies in another repository. A base outside the table is nobody's business: it passes.
    """
    into = kind(base)
    if into not in ALLOWED:
        return []
    if foreign:
        return _foreign_problems(head, base)
    if kind(head) in ALLOWED[into]:
        return []
    return [f"{head} may not go into {base}: {_way_out(head, base)}"]


def _foreign_problems(head: str, base: str) -> list[str]:
    if base != DEV:
        return [f"a fork's branch may not go into {base}: set the base of the pull request to {DEV}"]
    if head == MAIN or kind(head) == "backmerge":
        return [f"a fork's {head} may not go into {DEV}: commit to a branch of another name and open the pull request from it"]
    return []


def _way_out(head: str, base: str) -> str:
    if base != DEV and kind(head) in INTO_DEV:
        return f"set the base of the pull request to {DEV}"
    if base == MAIN:
        return "only release/X.Y.Z and hotfix/X.Y.Z do; start one with `mlops gitflow start release X.Y.Z`"
    if head == DEV:
        return f"the release holds what {DEV} was; bring single changes by bugfix/*, the rest by the next release"
    names = ", ".join(SHOWN.get(name, f"{name}/*") for name in ALLOWED[kind(base)])
    return f"what may is {names}; a branch cannot change its name under a pull request: {_renamed(head, base)}"


def _renamed(head: str, base: str) -> str:
    prefix = "feature" if base == DEV else "bugfix"
    name = f"{prefix}/{head.rsplit('/', 1)[-1] or 'NAME'}"
    return f"git push origin {head}:refs/heads/{name}, and open it from {name}"


def start_point(branch_kind: str) -> str:
    """Return the branch that a new branch of this kind grows from; raise UserError for a kind that people do not start."""
    points = {"feature": DEV, "bugfix": DEV, "release": DEV, "hotfix": MAIN}
    if branch_kind not in points:
        raise UserError(f"{branch_kind!r} is no kind of branch to start: use one of {', '.join(points)}")
    return points[branch_kind]


def target(branch: str) -> str:
    """Return the branch that this one is to be merged into; raise UserError where the name does not say."""
    targets = {**dict.fromkeys(INTO_DEV, DEV), "backmerge": DEV, "release": MAIN, "hotfix": MAIN}
    if kind(branch) not in targets:
        raise UserError(f"{branch} goes nowhere by itself: name a branch feature/*, bugfix/*, release/X.Y.Z or hotfix/X.Y.Z")
    return targets[kind(branch)]
