"""The model report and the review of notebooks as a comment on a pull request, by a run that never sees its code.

Both come from artifacts of an untrusted run: they are text to show and nothing else. Which pull request it belongs to is
taken from the event, never from the artifact.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mlops.gitflow import github

MARKER = "<!-- mlops: model report -->"
LIMIT = 60_000
READ = 200_000
NOTEBOOKS = Path("notebooks", "review.md")
# Where a blank breaks what GitHub would act on: tags but ours, mentions, entities, links, addresses that become links, and
# references to issues (#1, owner/name#1, GH-1), which would leave a mark on each of them.
BREAKS = re.compile(
    r"<(?!/?(?:details|summary)>)|@|&(?=[#\w])|\](?=[(:\[])|:(?=//)|/(?=/)|www(?=\.)|#(?=\d+(?!\w))|\bGH-(?=\d)", re.IGNORECASE
)
FOLDER = re.compile(r"[a-z0-9_-]{1,60}")


def pull_requests(repository: github.Repository, run: dict[str, Any]) -> list[int]:
    """Return the open pull requests that the workflow run was for: same head branch, same head commit.

    The event's own list is empty for forks, so that the head is looked up.
    """
    owner = (run.get("head_repository") or {}).get("owner", {}).get("login", "")
    if not owner:
        return []
    pulls = github.listed(repository, "pulls", state="open", head=f"{owner}:{run['head_branch']}")
    return [pull["number"] for pull in pulls if pull["head"]["sha"] == run["head_sha"]]


def reports(folder: Path) -> list[str]:
    """Return the texts of NAME/[KEY/]report.md below the folder, ordered by name, then of the review of notebooks.

    No symbolic link is followed.
    """
    texts = []
    models = sorted([*folder.glob("*/report.md"), *folder.glob("*/*/report.md")])
    for file in [*models, folder / NOTEBOOKS]:
        way = [file, *file.parents][: len(file.relative_to(folder).parts)]
        if FOLDER.fullmatch(way[-1].name) and file.is_file() and not any(place.is_symlink() for place in way):
            with open(file, encoding="utf-8", errors="replace") as text:
                texts.append(text.read(READ))
    return texts


def body(texts: list[str], link: str) -> str:
    """Return the comment: the reports made harmless and cut to what a comment holds, and the link to the run."""
    text = "\n\n".join(harmless(text) for text in texts)
    if len(text) > LIMIT:
        text = text[:LIMIT].rsplit("\n", 1)[0]
        text += f"\n{_open_fence(text)}\n\nThe report is longer than a comment may be."
    return f"{text}\n\n[The whole report is in the summary of the run]({link})\n"


def harmless(text: str) -> str:
    """Return the text without control characters, pictures, links, mentions and tags other than those of our reports.

    First pictures and links become their names, for the reader; then whatever could be one is broken by a blank of no width,
    which takes no text away: nothing can come together that was not there before, in a code block as anywhere else.
    """
    text = re.sub(r"[^\S\n\t ]|[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", "", text)
    text = re.sub(r"!?\[([^\[\]]{0,500})\]\([^)]{0,2000}\)", r"\1", text)
    return BREAKS.sub("\\g<0>\u200b", text).strip()


def _open_fence(text: str) -> str:
    """Return the fence that closes the code block in which the text ends, "" where it ends in none."""
    fence = ""
    for mark, rest in re.findall(r"(?m)^(`{3,})(.*)$", text):
        if not fence:
            fence = mark
        elif len(mark) >= len(fence) and not rest.strip():
            fence = ""
    return fence
