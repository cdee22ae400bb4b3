"""The model of branches: what may be merged where, versions, tags, the back-merge into dev, and what goes to GitHub."""

from mlops.gitflow import workflow_commands
from mlops.gitflow.commands import app

workflow_commands.mount(app)

__all__ = ["app"]
