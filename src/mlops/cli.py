"""The command line. Each area brings its commands in its own `commands.py`; here they come together.

Nothing heavy is imported before a command needs it: `mlops --help` answers at once.
"""

from __future__ import annotations

import os
import sys

import typer
from rich.text import Text

from mlops.console import err
from mlops.errors import MlopsError

app = typer.Typer(
    name="mlops",
    help="A model's whole way: data, training, gate, registry, report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    project: str = typer.Option("", "--project", "-C", metavar="DIR", help="Project folder; default: the nearest above."),
) -> None:
    """Options that hold for every command."""
    if debug:
        os.environ["MLOPS_DEBUG"] = "1"
    if project:
        os.environ["MLOPS_PROJECT"] = project


def main() -> None:
    """Run the command line; an error that a user can mend is one line and its exit code."""
    try:
        app()
    except MlopsError as error:
        if os.environ.get("MLOPS_DEBUG"):
            raise
        err.print(Text.assemble(("error: ", "bold red"), str(error)))
        sys.exit(error.exit_code)
