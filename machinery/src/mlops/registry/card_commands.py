"""`mlops card`: the card of a version, or those of all champions as pages of the project's documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mlops import console

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.config import Project

app = typer.Typer()

PAGES = "docs/cards"


@app.command()
def card(
    name: str = typer.Argument("", help="Use case; default: the project's default one."),
    ref: str = typer.Argument("", help="Alias or number; default: the champion."),
    all_: bool = typer.Option(False, "--all", help="Those of all champions, as pages of the project's documentation."),
    out: str = typer.Option(
        "", "--out", "-o", metavar="PATH", help=f"File, plots in a folder beside it; with --all a folder, default: {PAGES}."
    ),
    format_: str = typer.Option(
        "markdown", "--format", help="markdown, hf (Hugging Face), annex-iv (EU AI Act), mlbom (CycloneDX)."
    ),
    json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """The card of a version in Markdown: data, metrics with intervals, slices, limits, origin; the same each time.

    In another format, what the store does not know is marked: to be written by a person.

    Example: mlops card ridership champion --out card.md
    """
    from pathlib import Path

    from mlops.config import load_project
    from mlops.errors import UserError
    from mlops.registry import card as cards
    from mlops.registry import card_formats, versions
    from mlops.use_case import load_use_case

    if format_ not in card_formats.FORMATS:
        raise UserError(f"--format {format_}: there are {', '.join(card_formats.FORMATS)}")
    project = load_project()
    if all_:
        if name or format_ != "markdown":
            raise UserError("mlops card --all: pages in Markdown of all champions; leave out the use case and --format")
        return _write_pages(project, Path(out) if out else project.root / PAGES, json)
    use_case = load_use_case(project, name)
    result = cards.make(project, use_case, versions.resolve(project, use_case.name, ref or None))
    if out:
        cards.write(result, Path(out), format_)
        console.note(f"card {out}")
    if json:
        console.as_json(result.facts)
    elif not out:
        console.text(card_formats.FORMATS[format_](result.facts, "report/plots"))


def _write_pages(project: Project, folder: Path, json: bool) -> None:
    from mlops.registry import card_pages

    made = card_pages.of_champions(project)
    card_pages.write(made, folder)
    names = ", ".join(item.facts["use_case"] for item in made)
    console.note(f"cards of {names}: {folder}" if made else f"no champion yet, so no card: {folder}")
    if json:
        console.as_json([item.facts for item in made])
