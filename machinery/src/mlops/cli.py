"""The command line. Each area brings its commands in its own `commands.py`; here they come together.

Nothing heavy is imported before a command needs it: `mlops --help` answers at once.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import metadata
from typing import NoReturn

import typer

from mlops import console, gitflow
from mlops.data import commands as data
from mlops.deploy import commands as deploy
from mlops.errors import MlopsError, UserError
from mlops.monitoring import commands as monitoring
from mlops.notebooks import commands as notebooks
from mlops.pipeline import commands as training
from mlops.project import commands as life
from mlops.registry import card_commands
from mlops.registry import commands as registry
from mlops.registry import store_commands
from mlops.release import commands as release
from mlops.scaffold import commands as scaffold
from mlops.scoring import commands as scoring
from mlops.scoring import serving_commands as serving
from mlops.sections import Sections
from mlops.workbench import commands as workbench

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    name="mlops",
    cls=Sections,
    help="A model's whole way: data, training, gate, registry, report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich would take longer to import than all the rest
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(asked: bool) -> None:
    """Print the version of the machinery, and end."""
    if asked:
        typer.echo(f"mlops-machinery {metadata.version('mlops-machinery')}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version and end."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    project: str = typer.Option("", "--project", "-C", metavar="DIR", help="Project folder; default: the nearest above."),
) -> None:
    """Options that hold for every command."""
    if debug:
        os.environ["MLOPS_DEBUG"] = "1"
    if project:
        os.environ["MLOPS_PROJECT"] = project


app.add_typer(registry.app)
app.add_typer(card_commands.app)
app.add_typer(life.app)
app.add_typer(life.deps, name="deps")
app.add_typer(scaffold.app)
app.add_typer(scoring.app)
app.add_typer(serving.app)
app.add_typer(deploy.app)
data.app.command("add")(scaffold.add_data)  # it reads what `mlops add` reads
app.add_typer(data.app, name="data")
app.command("save")(data.save)
app.add_typer(training.app)
app.add_typer(notebooks.app, name="notebooks")
app.add_typer(gitflow.app, name="gitflow")
app.add_typer(monitoring.app)
app.add_typer(store_commands.app, name="store")
app.add_typer(release.app, name="release")
app.add_typer(workbench.app, name="workbench")


@app.command()
def doctor(json: bool = typer.Option(False, "--json", help="Print the result as JSON.")) -> None:
    """Check that this machine and project have what the commands need; exit code 2 where something is missing.

    Example: mlops doctor
    """
    from mlops.doctor import examine, next_step, show

    findings = examine()
    code = show("mlops doctor", findings, json)
    if not json:
        console.note(f"next: {next_step(findings)}")
    raise typer.Exit(code)


@app.command()
def pythons(
    tox: bool = typer.Option(False, "--tox", help="As tox names its environments."),
    json: bool = typer.Option(False, "--json", help="As a JSON list, for a workflow's matrix."),
) -> None:
    """The versions of Python that the project supports, as setup.py names them.

    Example: mlops pythons --json
    """
    from mlops.pythons import supported_pythons

    versions = supported_pythons()
    if json:
        print(str(versions).replace("'", '"'))
    else:
        print(",".join(f"py{version.replace('.', '')}" for version in versions) if tox else " ".join(versions))


def main() -> None:
    """Run the command line; an error that a user can fix is one line and its exit code."""
    try:
        app()
    except MlopsError as error:
        if os.environ.get("MLOPS_DEBUG"):
            raise
        console.error(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        place = error.filename2 or error.filename
        if os.environ.get("MLOPS_DEBUG") or not (place or error.errno in NO_ROOM):
            _defect()
        console.error(f"{place or 'the disk'}: {error.strerror}; correct the path, its permissions or the room on the disk")
        sys.exit(UserError.exit_code)
    except Exception:
        _defect()


def _defect() -> NoReturn:
    """Show the traceback and end with 70: a defect must not look like the gate's refusal, whose exit code is 1."""
    import traceback

    traceback.print_exc()
    sys.exit(70)
