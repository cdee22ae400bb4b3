"""`mlops new`, `adopt`, `update`, `sync`, `eject` and `docs`: the life of a project on the machinery."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import typer

from mlops.console import as_json, note, table
from mlops.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.project.answers import Answers
    from mlops.project.merge import Change

app = typer.Typer()
deps = typer.Typer(help="The packages that the project asks for: setup.py and the lock files in one step.")

FORCE = typer.Option(False, "--force", help="Go on with uncommitted changes.")
WHEEL = typer.Option("", "--wheel", metavar="FILE", help="A wheel of the machinery.")
DEFAULTS = typer.Option(False, "--defaults", help="Ask nothing: take the default of each question.")
ANSWERS = typer.Option(
    "", "--answers", metavar="FILE", help="A YAML file with the answers; what it leaves out has its default."
)
JSON = typer.Option(False, "--json", help="Print the result as JSON.")


@app.command("new")
def new_project(
    folder: Path = typer.Argument(metavar="DEST", help="A new or empty folder."),
    defaults: bool = DEFAULTS,
    answers: str = ANSWERS,
    file: str = WHEEL,
    json: bool = JSON,
) -> None:
    """Create a project: the team's first files, and the machinery as one wheel pinned by its hash.

    Example: mlops new churn-models --defaults
    """
    from mlops.project import new, wheel

    chosen = _answers(defaults, answers, name=_name_of(folder))
    machinery = wheel.opened(Path(file)) if file else new.own_wheel()
    written = new.create(folder, chosen, machinery)
    if json:
        as_json({"folder": folder, "files": written, "machinery": machinery.version})
        return
    note(f"{folder}: {len(written)} files, machinery {machinery.version}")
    note(f"next: cd {shlex.quote(str(folder))} && git init -b main && git add -A && git commit -m 'First commit' && make run")


@app.command()
def adopt(
    defaults: bool = DEFAULTS,
    answers: str = ANSWERS,
    file: str = WHEEL,
    propose: bool = typer.Option(
        False, "--propose", help="As a pull request to dev; the project is named after its repository."
    ),
    force: bool = FORCE,
    json: bool = JSON,
) -> None:
    """Make a copy of the template thin: its machinery becomes one wheel, and the project gets its name.

    Example: mlops adopt --answers answers.yaml
    """
    from mlops.config import find_root
    from mlops.project import adopt as border
    from mlops.project import wheel

    root = find_root()
    if propose:
        from mlops import runner
        from mlops.git import repository
        from mlops.project import propose as proposal

        name = _name_of(Path(repository(root).rpartition("/")[2] or root))
        runner.summary(f"### A thin project\n\n{proposal.propose(root, _answers(True, answers, name))}")
        return
    chosen = _answers(defaults, answers, name=_name_of(root))
    written = border.adopt(root, chosen, wheel.opened(Path(file)) if file else None, force)
    _show_result(written, json, "git add -A && git commit -m 'Take the machinery as a wheel' && make run")


@app.command()
def eject(force: bool = FORCE, json: bool = JSON) -> None:
    """Turn the wheel back into source: a folder machinery/ with code, tests and documentation, to be changed.

    Example: mlops eject
    """
    from mlops.config import find_root
    from mlops.project import adopt as border

    _show_result(border.eject(find_root(), force), json, "make test")


@app.command()
def update(
    file: str = WHEEL,
    to: str = typer.Option(
        "", "--to", metavar="VERSION", help="This version, also an older one; default: the newest release."
    ),
    notify: bool = typer.Option(False, "--notify", help="Only open an issue where the template has a newer release."),
    force: bool = FORCE,
    json: bool = JSON,
) -> None:
    """Bring a later machinery: its wheel, then the files that it owns. An edit of the team is merged or kept, never lost.

    Example: mlops update --wheel mlops_machinery-1.1.0-py3-none-any.whl
    """
    from mlops.config import find_root
    from mlops.project import releases, transaction
    from mlops.project import update as border
    from mlops.project import wheel

    root = find_root()
    if notify:
        note(releases.notify(root))
        return
    new = wheel.opened(Path(file).expanduser()) if file else releases.download(root, to)
    if new is None:
        note(releases.NO_TEMPLATE)
        return
    transaction.finish(root)
    unchanged = wheel.present(root).sha256
    done = border.update(root, new, force, downgrade=to == new.version)
    if json:
        as_json({"before": done.before, "after": done.after, "files": _rows(done.changes), "locks": sorted(done.locks)})
        return
    if not done.changes and done.before == done.after and wheel.present(root).sha256 == unchanged:
        note(f"machinery {done.after} is here already: nothing to update")
        return
    _show(f"machinery {done.before} → {done.after}", done.changes)
    for change in done.conflicts:
        note(f"{change.path}: {change.note}")
    note("next: make test, then git add -A && git commit -m 'Update the machinery'")


@app.command()
def requirements(json: bool = JSON) -> None:
    """Write requirements/base.in and dev.in from setup.py and the machinery: what `make lock` compiles the locks from.

    Example: mlops requirements
    """
    from mlops.config import find_root
    from mlops.files import write_text
    from mlops.project.requirements import of_project

    root = find_root()
    texts = of_project(root)
    for path, text in texts.items():
        write_text(root / path, text)
    if json:
        as_json({"files": sorted(texts)})


@app.command()
def sync(
    paths: list[str] = typer.Argument(None, metavar="[PATH]...", help="Write these as the machinery has them, edited or not."),
    check: bool = typer.Option(False, "--check", help="Only say what differs; exit code 2 for what has to be settled."),
    listed: bool = typer.Option(False, "--list", help="Name the files that the machinery owns."),
    json: bool = JSON,
) -> None:
    """Write the files that the machinery owns as its source has them; an edit of the team is merged or kept.

    Example: mlops sync --check
    """
    from mlops.config import find_root
    from mlops.project import shipped, transaction
    from mlops.project import update as border

    root = find_root()
    transaction.finish(root)
    if listed:
        print("\n".join(shipped.owned()))
        return
    changes = border.state(root) if check else border.write(root, paths or [])
    if json:
        as_json(_rows(changes))
    elif changes:
        _show("files that the machinery owns", changes)
    if check and (unsettled := border.unsettled(root)):
        raise UserError(f"{unsettled[0]} lies beside the file that it is meant for: take over what differs, then remove it")


@app.command("docs")
def documentation(
    page: str = typer.Argument("", metavar="[PAGE]", help="A page's name; without one the pages are listed."),
    json: bool = JSON,
) -> None:
    """Show a page of the machinery's documentation, which comes with its wheel.

    Example: mlops docs deploy
    """
    from mlops.project import pages

    if page and not json:
        print(pages.page(page), end="")
    elif page:
        as_json({"page": page, "text": pages.page(page)})
    elif json:
        as_json([{"page": name, "title": title} for name, title in pages.listed()])
    else:
        table("mlops docs PAGE", ("page", "title"), pages.listed())


def _answers(defaults: bool, file: str, name: str) -> Answers:
    """The answers of a file, else the defaults, else those that a person gives to each question."""
    from mlops.project.answers import Answers, checked, from_file

    if file:
        return from_file(Path(file))
    given: dict[str, Any] = {"name": name} if name else {}
    if defaults:
        return checked(given, "--defaults")
    for key, field in Answers.model_fields.items():
        if key in ("template", "pythons"):
            continue
        question = f"{field.description or key}{_choices(key, field.annotation)}"
        try:
            given[key] = typer.prompt(question, default=given.get(key, field.default), err=True)
        except typer.Abort:
            if sys.stdin.isatty():
                raise  # a person has ended it
            raise UserError(f"nobody answers {field.description!r}: give --defaults, or --answers FILE") from None
    return checked(given, "answers")


def _choices(key: str, kind: Any) -> str:
    """What may be answered, where that is one of a few."""
    from mlops.project import shipped

    choices = (*shipped.examples(), "none") if key == "use_case" else get_args(kind)
    return f" ({', '.join(choices)})" if choices else ""


def _name_of(folder: Path) -> str:
    """A project's name after a folder: its own where that can be one, with -models where a module is called so, else ""."""
    from mlops.project.answers import taken

    name = re.sub(r"[^A-Za-z0-9]+", "-", folder.resolve().name).strip("-")
    if not re.match(r"[A-Za-z].", name):
        return ""
    return f"{name}-models" if taken(name) else name


def _show_result(written: dict[str, Any], json: bool, following: str) -> None:
    removed = sorted(path for path, content in written.items() if content is None)
    kept = sorted(path for path, content in written.items() if content is not None)
    if json:
        as_json({"written": kept, "removed": removed})
        return
    note(f"{len(kept)} files written, {len(removed)} removed")
    note(f"next: {following}")


def _show(title: str, changes: Sequence[Change]) -> None:
    table(title, ("file", "what", "why"), [(change.path, change.action, change.note) for change in changes])


def _rows(changes: Sequence[Change]) -> list[dict[str, str]]:
    return [{"path": change.path, "action": change.action, "note": change.note} for change in changes]


@deps.callback()
def _group() -> None:
    """Keep `add` a command of its own where it is the only one."""


@deps.command("add")
def add_package(
    package: str = typer.Argument(metavar="PACKAGE", help="As pip takes it: lightgbm, or 'lightgbm>=4,<5'."),
    dev: bool = typer.Option(False, "--dev", help="For tests and tools alone: models and servers do without it."),
    serve: bool = typer.Option(True, help="Servers and images have it too; without, training alone."),
    install: bool = typer.Option(True, help="Install what is locked into this environment."),
    json: bool = JSON,
) -> None:
    """Add a package to setup.py, lock it, install it. Where it cannot be locked or installed, nothing has changed.

    Example: mlops deps add lightgbm
    """
    from mlops.config import find_root
    from mlops.project import deps as packages

    added = packages.add(find_root(), package, dev, serve, install)
    if json:
        as_json(vars(added))
        return
    for path in added.files:
        note(f"wrote {path}")
    note(f"{added.line} is locked as {added.version}{' and installed' if install else ''}; commit these files")
