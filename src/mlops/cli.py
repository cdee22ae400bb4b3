"""The command line. Each area brings its commands in its own `commands.py`; here they come together.

Nothing heavy is imported before a command needs it: `mlops --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as installed_version

import typer
from typer.core import TyperGroup

from mlops import console
from mlops.data import commands as data
from mlops.errors import MlopsError
from mlops.registry import commands as registry
from mlops.training import commands as training

app = typer.Typer(
    name="mlops",
    help="A model's whole way: data, training, gate, registry, serving.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
