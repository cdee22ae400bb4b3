"""What README and pages say can be typed is what the machinery takes; their links lead somewhere."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from checkouts import ROOT
from documentation import FENCE, PAGES, blocks, calls, named

from mlops import cli

MAKEFILES = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "machinery/machinery.mk"))
TARGETS = set(re.findall(r"(?m)^([a-z][a-z -]*):(?!=)", MAKEFILES))
TARGETS = {target for listed in TARGETS for target in listed.split()}
GLOBAL = {"-C", "--project", "--debug"}
# Blocks that show neither commands nor their output.
DATA = {
    "yaml",
    "python",
    "json",
    "ini",
    "text",
    "{toctree}",
    "{eval-rst}",
    "toml",
    "dockerfile",
    "sql",
}


def command_of(words: list[str]) -> tuple[Any, str, list[str]]:
    """The command that words after `mlops` name, its name, and the words that are left for it."""
    command: Any = typer.main.get_command(cli.app)
    names: list[str] = []
    while words and words[0] in GLOBAL:
        words = words[1 if words[0] == "--debug" else 2 :]
    while words and words[0] in getattr(command, "commands", ()):
        command, words = command.commands[words[0]], words[1:]
        names.append(command.name or "")
    return command, " ".join(names), words


def accepted(words: list[str]) -> None:
    """Fail where the command line does not take words that stand after `mlops`."""
    command, name, rest = command_of(words)
    assert rest == ["--help"] or not hasattr(command, "commands"), f"mlops {' '.join(words)}: no such command"
    if rest != ["--help"]:
        command.make_context(name, list(rest))


def known(words: list[str]) -> list[str]:
    """What prose names, such as `mlops release publish` or `mlops run NAME --no-register`, and the command does not have."""
    command, name, rest = command_of(words)
    if hasattr(command, "commands"):
        return [word for word in rest if re.fullmatch(r"[a-z-]+", word) and word != "--help"]
    options = {"--help"} | {text for option in command.params for text in (*option.opts, *option.secondary_opts)}
    return [word for word in rest if word.startswith("-") and word not in ("-", "--") and word.split("=")[0] not in options]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_names_its_kind(page: str) -> None:
    assert len(blocks(page)) == PAGES[page].count("```") / 2
    assert [block for block in blocks(page) if block.kind not in DATA | {"sh", "console"}] == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_blocks_show_are_accepted(page: str) -> None:
    for block in blocks(page):
        for words in (words for script in block.scripts for words in calls(script)):
            program, *rest = [word.removeprefix(".venv/bin/").removeprefix("../") for word in words]
            if program == "uvx":
                program, rest = rest[2], rest[3:]
            if program == "mlops":
                accepted([*rest[: rest.index("--")], "--", "true"] if "--" in rest else rest)
                if "--" in rest:
                    accepted(rest[rest.index("--") + 2 :])
            elif program == "make":
                assert {word for word in rest if re.fullmatch("[a-z-]+", word)} <= TARGETS, f"{page}:{block.line}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_prose_names_are_there(page: str) -> None:
    wrong = {span: known(shlex.split(span.partition(" | ")[0])[1:]) for span in named(page, "mlops") if "{" not in span}
    targets = {span: {word for word in span.split()[1:] if re.fullmatch("[a-z-]+", word)} for span in named(page, "make")}
    wrong |= {span: sorted(words - TARGETS) for span, words in targets.items()}
    assert {span: words for span, words in wrong.items() if words} == {}


def leaves(command: Any, *names: str) -> Iterator[str]:
    """The commands below one, by name."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, *names, name) if hasattr(inner, "commands") else [" ".join((*names, name))]


def test_every_command_stands_on_its_page() -> None:
    rows = re.findall(r"(?m)^\| (`mlops .*?) \|", PAGES["machinery/docs/commands.md"])
    page = {word for row in rows for word in re.findall(r"[a-z-]+", row)}
    assert [name for name in leaves(typer.main.get_command(cli.app)) if name.split()[-1] not in page] == []


# Words that somebody who knows the field would not write, and what stands in their place.
WORDS = {
    r"\bmend(s|ed|ing)?\b": "fix, correct",
    r"\blook whether\b": "check that",
    r"\bstands there twice\b": "duplicate",
    r"\b(was|were) (not )?made by\b": "created by",
    r"\b(made|made anew) from the template\b": "created from",
    r"\bcannot be told\b": "is not known, does not show",
    r"\bmodel (was|is) asked and answer": "requests and predictions",
    r"\bnobody (but \w+ )?asked\b": "requested",
}


def messages() -> dict[str, str]:
    """Place → each text with a blank in the machinery's code that is no docstring: what a person may read."""
    texts = {}
    for file in sorted((ROOT / "machinery/src/mlops").rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare and " " in node.value:
                texts[f"{file.name}:{node.lineno}: {node.value}"] = node.value
    return texts


def test_pages_and_messages_use_the_words_of_the_field() -> None:
    prose = {page: FENCE.sub("", text) for page, text in PAGES.items()} | messages()
    hits = {
        (place, word): better for place, text in prose.items() for word, better in WORDS.items() if re.search(word, text, re.I)
    }
    assert hits == {}
    assert len(prose) > 500


def anchors(file: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a Markdown file."""
    headings = re.findall(r"(?m)^#+ (.*)$", FENCE.sub("", file.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# The pages' own links are held by `make docs`, where a link or an anchor that leads nowhere is an error.
@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md", "machinery/CHANGELOG.md"])
def test_links_to_files_lead_somewhere(page: str) -> None:
    text = FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors(file), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_drawn_alike_by_github_and_without_a_network(page: str) -> None:
    text = FENCE.sub("", PAGES[page])
    assert re.findall(r"(?<!`)\{\w+\}`|^:::", text, re.M) == [], "a role or directive, which GitHub shows as it stands"
    for picture in re.findall(r"!\[[^]]+\]\(([^)]+)\)", text):
        drawn = (ROOT / page).parent.joinpath(picture).read_text(encoding="utf-8")
        assert not re.search(r"(href|src)=\"(?!#|data:)|@import|url\((?!#)", drawn), f"{page}: {picture} loads something"


# Where a file lies that a page names, and which files no checkout has: examples of names, files of other projects.
PLACES = [ROOT / place for place in ("", "machinery", "machinery/src", "machinery/src/mlops", "machinery/tests")]
ELSEWHERE = re.compile(r"use_cases/|notebooks/|name/name\.py|modeling/|validation/")


@pytest.mark.parametrize("page", PAGES)
def test_source_files_that_prose_names_are_there(page: str) -> None:
    spans = re.findall(r"`([^`]+)`", FENCE.sub("", PAGES[page]))
    files = {file for span in spans for file in re.findall(r"[\w.-]+/[\w./-]+\.(?:py|Dockerfile)\b", span)}
    here = {file for file in files if any((place / file).is_file() for place in PLACES)}
    assert {file for file in files - here if not ELSEWHERE.search(file)} == set()


@pytest.mark.parametrize("page", PAGES)
def test_benchmarks_are_started_where_they_lie_with_options_that_they_have(page: str) -> None:
    scripts = [line for block in blocks(page) for script in block.scripts for line in script.splitlines()]
    shown = [line for line in scripts if "-m benchmarks" in line]
    assert [line for line in shown if not line.startswith("cd machinery && ../.venv/bin/python -m ")] == []
    prose = [*named(page, "cd machinery"), *re.findall(r"`(benchmarks\.[^`]+)`", FENCE.sub("", PAGES[page]))]
    for name, options in re.findall(r"benchmarks\.(\w+)([^#\n]*)", "\n".join([*shown, *prose])):
        source = (ROOT / "machinery/benchmarks" / f"{name}.py").read_text(encoding="utf-8")
        assert [option for option in re.findall(r"--[a-z-]+", options) if f'"{option}"' not in source] == [], name


def test_secrets_and_variables_of_the_workflows_stand_on_their_page() -> None:
    used: dict[tuple[str, str], set[str]] = {}
    for file in (ROOT / ".github/workflows").glob("*.yml"):
        for kind, name in re.findall(r"\b(secret|var)s\.([A-Z][A-Z0-9_]*)", file.read_text(encoding="utf-8")):
            used.setdefault((name, {"var": "variable"}.get(kind, kind)), set()).add(file.stem)
    rows = re.findall(r"(?m)^\| `(\w+)` \| [^|]+ \| (\w+) \| ([^|]+) \|$", PAGES["machinery/docs/secrets.md"])
    assert {(name, kind): set(workflows.split(", ")) for name, kind, workflows in rows} == used
