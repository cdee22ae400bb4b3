"""The cards of all champions as pages of the project's documentation, with a page that lists them."""

from __future__ import annotations

from pathlib import Path

from mlops import files, folders, tracking
from mlops.config import Project
from mlops.errors import UserError
from mlops.registry import card as cards
from mlops.registry import versions
from mlops.registry.card import Card
from mlops.registry.card_text import number, table
from mlops.use_case import load_use_case

# Who finds it in a folder may replace the folder; git leaves out what it stands for.
MARK = "# made by: mlops card --all\n*\n"
HEAD = ("use case", "champion", "registered", "metric", "value", "95 % interval")


def of_champions(project: Project) -> list[Card]:
    """The card of each use case's champion; one without a champion has none, and where there is no store yet, none has."""
    if tracking.is_unused(project):
        return []
    with tracking.open_store(project, make=False) as client:
        known = {name: versions.of_use_case(client, project, name) for name in project.use_cases}
    champions = {name: versions.by_alias(listed, "champion") for name, listed in known.items()}
    return [cards.make(project, load_use_case(project, name), version) for name, version in champions.items() if version]


def write(made: list[Card], folder: Path) -> None:
    """Write the pages into a folder in place of those that were there, `index.md` with a table of them first.

    Raises UserError for a folder that holds anything else.
    """
    mark = folder / ".gitignore"
    if folder.exists() and not (mark.is_file() and mark.read_text(encoding="utf-8") == MARK):
        raise UserError(f"{folder}: not made by mlops card --all; move it away, or give another folder with --out")
    files.make_folder(folder.parent)
    with folders.work_folder(folder.parent) as scratch:
        new = scratch / folder.name
        for card in made:
            cards.write(card, new / f"{card.facts['use_case']}.md")
        files.write_text(new / "index.md", index(made))
        files.write_text(new / ".gitignore", MARK)
        folders.put_in_place(new, folder)


def index(made: list[Card]) -> str:
    """The page that lists the cards: a table, and their order for Sphinx."""
    names = [card.facts["use_case"] for card in made]
    intro = "The champion of each use case as it was registered." if made else "No use case has a champion yet."
    lines = ["---", "orphan: true", "---", "", "# Model cards", "", intro, ""]
    if made:
        lines += [*table(HEAD, [_row(card) for card in made], "llllrr"), "", "```{toctree}", ":hidden:", "", *names, "```", ""]
    return "\n".join(lines)


def _row(card: Card) -> tuple[str, ...]:
    name = card.facts["use_case"]
    primary = next(item for item in card.facts["metrics"] if item["primary"])
    interval = "–" if primary["low"] is None else f"{number(primary['low'])} to {number(primary['high'])}"
    facts = (card.facts["number"], card.facts["registered"], primary["metric"])
    return (f"[{name}]({name}.md)", *facts, number(primary["value"]), interval)
