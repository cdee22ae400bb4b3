"""`mlops notebooks`: export, check, run, review, extract, setup, doctor, lab."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mlops import console

if TYPE_CHECKING:
    from mlops.notebooks.execution import Execution
    from mlops.notebooks.settings import Settings

app = typer.Typer(help="Notebooks: exported at each save, checked, executed, reviewed.", no_args_is_help=True)

PATHS = typer.Argument(None, metavar="[PATH]...", help="Notebooks or folders; default: the project's notebooks/.")
JSON = typer.Option(False, "--json", help="Print the result as JSON.")


@app.callback()
def quick() -> None:
    """Start quickly: these commands are programs of their own, so what nbformat imports without need stays out."""
    from mlops.notebooks.content import quick_imports

    quick_imports()


@app.command()
def export(
    paths: list[Path] = PATHS,
    check: bool = typer.Option(False, "--check", help="Write nothing; exit code 1 where a committed .py is stale."),
    format_: str = typer.Option("py,html", "--format", help="py, html or both."),
    output: Path = typer.Option(None, "--output", help="Write below this folder, in the notebooks' own folders."),
    sanitize: bool = typer.Option(False, "--sanitize", help="Leave scripts out of the .html: for notebooks of others."),
    json: bool = JSON,
) -> None:
    """Write NAME/NAME.py and NAME/NAME.html of notebooks in folders with .ipynb_saveprocess, or of the notebooks named.

    Example: mlops notebooks export notebooks/01_explore_ridership.ipynb
    """
    from mlops.errors import UserError
    from mlops.notebooks import content
    from mlops.notebooks import export as exports

    formats = [part.strip() for part in format_.split(",") if part.strip()]
    if not formats or set(formats) - set(exports.FORMATS):
        raise UserError(f"--format {format_}: py, html or py,html is expected")
    named = {path for path in paths or [] if path.suffix == ".ipynb"}
    paths_to_check = [path for path in _find(paths) if path in named or content.is_marked(path.parent)]
    if check:
        _report_stale(paths_to_check, _folders(paths), json)
        return
    with console.step(f"exporting {len(paths_to_check)} notebooks"):
        folders = content.folders_below(output, paths_to_check) if output else [path.parent for path in paths_to_check]
        written, failed = exports.export_all(dict(zip(paths_to_check, folders, strict=True)), formats, sanitize)
        written += [] if output else _stripped(path for path in paths_to_check if path not in failed)
        removed = [] if output else [gone for folder in _folders(paths) for gone in exports.prune(folder)]
    reasons = {str(path): reason for path, reason in failed.items()}
    if json:
        console.as_json({"notebooks": len(paths_to_check), "written": written, "removed": removed, "failed": reasons})
        raise typer.Exit(1 if failed else 0)
    for path in written:
        console.note(f"written {path}")
    for path in removed:
        console.note(f"removed {path}: its notebook is gone")
    console.note(f"{len(paths_to_check)} notebooks, {len(written)} files written, {len(removed)} removed")
    for reason in list(failed.values())[1:]:
        console.note(reason)
    if failed:
        raise UserError(next(iter(failed.values())) + (f" ({len(failed)} notebooks failed)" if len(failed) > 1 else ""))


@app.command()
def check(
    paths: list[Path] = PATHS,
    flake8: bool = typer.Option(True, "--flake8/--no-flake8", help="Run flake8 on the code cells too."),
    json: bool = JSON,
) -> None:
    """Hold notebooks to the rules: exports in step, run in order, imports from src/, nothing defined twice, no machine paths.

    Exit code 1 where a rule is broken. Example: mlops notebooks check
    """
    from mlops import runner
    from mlops.notebooks import rules, run_report

    paths_to_check = _find(paths)
    with console.step(f"checking {len(paths_to_check)} notebooks"):
        faults = rules.check(_root(), paths_to_check, flake8, _folders(paths))
    if json:
        console.as_json([vars(fault) for fault in faults])
    elif faults:
        rows = [(fault.notebook, fault.rule, fault.where, fault.what, fault.hint) for fault in faults]
        console.table("Rules broken", ("notebook", "rule", "where", "what", "how to fix"), rows)
    else:
        console.note(f"{len(paths_to_check)} notebooks keep the rules")
    if runner.event_name():
        run_report.annotate_faults(faults)
    raise typer.Exit(1 if faults else 0)


@app.command()
def run(
    paths: list[Path] = PATHS,
    parameter: list[str] = typer.Option([], "--parameter", "-p", metavar="KEY=VALUE", help="A value for this run."),
    output: Path = typer.Option(None, "--output", help="Where executed copies are kept: of failures, of runs with -p."),
    timeout: int = typer.Option(600, "--timeout", min=1, help="Seconds that one cell may take."),
    write: bool = typer.Option(False, "--write", help="Put the fresh outputs into the notebooks and export them."),
    strict: bool = typer.Option(False, "--strict", help="Fail where outputs differ from the committed ones."),
    jobs: int = typer.Option(0, "--jobs", min=0, help="Notebooks at a time; default: as many as there are cores."),
    json: bool = JSON,
) -> None:
    """Run notebooks from top to bottom on fresh kernels, each with a store of its own; exit code 1 where one fails.

    Example: mlops notebooks run my_notebook -p depth=3
    """
    from dataclasses import asdict

    from joblib import cpu_count

    from mlops import runner
    from mlops.notebooks import execute, run_report

    paths_to_check = _find(paths)
    parameters = _parameters(parameter, write)
    where = output or _root() / "output" / "notebooks"
    results = []
    at_once, kept = jobs or cpu_count(), _settings().outputs
    for result in execute.run(paths_to_check, where, timeout, write, parameters=parameters, jobs=at_once, kept=kept):
        console.note(f"{result.notebook}: {result.error or 'ran'} ({result.seconds:.1f} s)")
        results.append(result)
    if json:
        console.as_json([asdict(result) for result in results])
    else:
        console.table("Notebooks run", ("notebook", "seconds", "result", "differs", "copy"), map(_execution_row, results))
    if results and runner.event_name():
        runner.summary(run_report.markdown(results))
        run_report.annotate(results)
    failed = any(result.error or (strict and result.differing) for result in results)
    raise typer.Exit(1 if failed else 0)


@app.command()
def review(
    paths: list[Path] = typer.Argument(None, metavar="[PATH]...", help="Only these notebooks or folders."),
    base: str = typer.Option("main", "--base", help="The ref to compare with: its common ancestor with --head."),
    head: str = typer.Option("", "--head", help="The ref that is reviewed; default: the working tree."),
    output: Path = typer.Option(Path("output/review"), "--output", help="Folder for review.md and index.html."),
    link: str = typer.Option("", "--link", help="Address of the page, for the link in the Markdown."),
    json: bool = JSON,
) -> None:
    """Show what changed in notebooks, cell by cell: Markdown for the pull request, one page for a browser.

    In a workflow the Markdown goes to the summary of the run, with a link to the run's artifacts.

    Example: mlops notebooks review --base origin/main --head HEAD --output output/review
    """
    from mlops import files, runner
    from mlops.notebooks import changes, links, pages
    from mlops.notebooks import review as reviews

    with console.step("comparing notebooks"):
        reviewed = changes.between(_root(), base, head or None, [str(path.resolve()) for path in paths or []])
        index = pages.write(reviewed, output, links.of_run(head))
        text = reviews.markdown(reviewed, link or runner.page())
        files.write_text(output / "review.md", text)
    runner.output("notebooks", str(len(reviewed)))
    if reviewed and runner.event_name():
        runner.summary(text)
    rows = [reviews.summary(change) for change in reviewed]
    if json:
        console.as_json({"index": index, "markdown": output / "review.md", "notebooks": rows})
        return
    if rows:
        console.table(f"Notebooks changed since {base}", list(rows[0]), [list(row.values()) for row in rows])
    else:
        console.note(f"no notebook changed since {base}")
    console.note(f"written {output / 'review.md'} and {index}")


@app.command()
def extract(
    notebook: Path = typer.Argument(help="The notebook."),
    cells: str = typer.Option(..., "--cells", help="tag:NAME, or numbers of cells such as 3,5-7."),
    to: Path = typer.Option(..., "--to", help="The module, a .py file below src/; made or added to."),
    check: bool = typer.Option(True, "--run/--no-run", help="Run the notebook before and after, and compare its outputs."),
    json: bool = JSON,
) -> None:
    """Move functions, classes and CONSTANTS of cells into a module; the notebook imports them and shows what it showed.

    Example: mlops notebooks extract 02_features_ridership --cells tag:features --to src/use_cases/ridership/features.py
    """
    from mlops.notebooks.extract import extract as move

    with console.step("moving functions"):
        moved = move(_root(), _named(notebook), cells, to, check)
    if json:
        console.as_json({"module": to, "moved": moved.names, "compared": check})
        return
    words = (
        ", and the notebook shows what it showed" if check else "; mlops notebooks run shows whether the notebook still runs"
    )
    console.note(f"moved to {to}: {', '.join(moved.names)}{words}")


@app.command()
def setup(json: bool = JSON) -> None:
    """Make git compare and merge notebooks cell by cell, and Jupyter export them at each save.

    Example: mlops notebooks setup
    """
    from mlops.notebooks.setup import set_up

    done = set_up(_root())
    if json:
        console.as_json(done)
    for line in done if not json else []:
        console.note(line)


@app.command()
def doctor(json: bool = JSON) -> None:
    """Check that git, Jupyter and the exports are set up; exit code 2 where something is missing.

    Example: mlops notebooks doctor
    """
    from mlops.doctor import show
    from mlops.notebooks.setup import examine

    raise typer.Exit(show("mlops notebooks doctor", examine(_root()), json))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(context: typer.Context) -> None:
    """Open JupyterLab in notebooks/ with the project's store and the save hook; further options go to JupyterLab.

    Example: mlops notebooks lab --no-browser --port 8890
    """
    from mlops import tracking
    from mlops.config import load_project
    from mlops.notebooks.execute import QUIET
    from mlops.notebooks.setup import enable_extension

    project = load_project()
    enable_extension()
    embedded = tracking.is_embedded(project)  # MLflow puts the address into the environment when it opens the store
    with tracking.open_store(project):
        console.note(f"mlops.tracking.open_store logs to {tracking.uri(project)}; the save hook is on")
    if embedded:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.environ.update(QUIET, MLOPS_PROJECT=str(project.root))
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={project.root}", *context.args]
    os.execv(sys.executable, command)


def _root() -> Path:
    from mlops.config import find_root

    return find_root()


def _settings() -> Settings:
    """The project's settings for notebooks, the usual ones outside of a project."""
    from mlops.errors import UserError
    from mlops.notebooks import settings

    try:
        root = _root()
    except UserError:
        return settings.Settings()
    return settings.read(root)


def _stripped(paths: Iterable[Path]) -> list[Path]:
    """Write the notebooks as the project lets them into git; where git does so at each commit, the files stay."""
    from mlops.notebooks import outputs

    policy = _settings().outputs
    if policy == "keep" or outputs.is_filtered(_root()):
        return []
    return [path for path in paths if outputs.apply(path, policy)]


def _find(paths: list[Path] | None) -> list[Path]:
    from mlops.notebooks.content import find

    if paths:
        return find([_named(path) for path in paths])
    folder = _root() / "notebooks"
    here = Path.cwd()
    paths_to_check = find([folder]) if folder.is_dir() else []
    return [path.relative_to(here) if path.is_relative_to(here) else path for path in paths_to_check]


def _named(path: Path) -> Path:
    """A name without its folder and ending is a notebook of the project."""
    if path.exists() or path.suffix or len(path.parts) != 1:
        return path
    notebook = _root() / "notebooks" / f"{path}.ipynb"
    return notebook if notebook.is_file() else path


def _parameters(pairs: list[str], write: bool) -> dict[str, object]:
    """The values of -p KEY=VALUE, read as YAML as the configuration is."""
    import yaml

    from mlops.errors import UserError

    if pairs and write:
        raise UserError("-p and --write exclude each other: a notebook is committed with the outputs of its own parameters")
    values: dict[str, object] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key.isidentifier():
            raise UserError(f"-p {pair}: KEY=VALUE is expected, such as -p depth=3")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"-p {pair}: the value is no YAML; quote it, such as -p 'name=\"a: b\"'") from error
    return values


def _folders(paths: list[Path] | None) -> list[Path]:
    """The folders whose exports are looked after: those of the notebooks, and those that lost their last notebook."""
    from mlops.notebooks.content import marked_folders

    here = Path.cwd()
    folders = marked_folders(paths or [_root() / "notebooks"])
    return [path.relative_to(here) if not paths and path.is_relative_to(here) else path for path in folders]


def _report_stale(orphans: list[Path], folders: list[Path], json: bool) -> None:
    from mlops.notebooks import export as exports

    stale = [(str(path), reason) for path in orphans if (reason := _stale(path))]
    stale += [(str(gone), "its notebook is gone") for folder in folders for gone in exports.orphans(folder)]
    if json:
        console.as_json([{"notebook": name, "reason": reason} for name, reason in stale])
    elif stale:
        rows = [(name, reason, f"mlops notebooks export {name}") for name, reason in stale]
        console.table("Exports that are stale", ("notebook", "what", "how to fix"), rows)
    else:
        console.note(f"{len(orphans)} notebooks, their exports are in step")
    raise typer.Exit(1 if stale else 0)


def _stale(path: Path) -> str | None:
    from mlops.errors import UserError
    from mlops.notebooks import export as exports

    try:
        return exports.stale(path)
    except UserError as error:
        return str(error)


def _execution_row(result: Execution) -> tuple[str | None, ...]:
    differing = ", ".join(f"cell {number}" for number in result.differing) or None
    return (result.notebook, f"{result.seconds:.1f}", result.error or "ran", differing, result.copy)
