"""The model of branches: what may be merged where, versions, tags, the way back to dev, and what GitHub is told about it."""

from mlops.gitflow import workflow_commands
from mlops.gitflow.commands import app

workflow_commands.mount(app)

__all__ = ["app"]
