"""The model of branches: what may be merged where, versions, tags, the way back to dev, and what GitHub is told about it."""

from mlops.gitflow.commands import app

__all__ = ["app"]
