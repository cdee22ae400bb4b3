"""A model's whole way on GitHub: train, gate, register, serve, watch, roll back.

What stands in `__all__`, here and in `mlops.spark.ml` and `mlops.spark.text`, is the package's public face, for use
cases, notebooks and tests. All else may change with any version.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops import tracking as tracking
    from mlops.bundle.build import build as build_bundle
    from mlops.config import Project as Project
    from mlops.config import load_project as load_project
    from mlops.data import columns as columns
    from mlops.data import stages as stages
    from mlops.data.datasets import read as read_data
    from mlops.registry.versions import resolve as find_version
    from mlops.testing import copy_project as copy_project
    from mlops.tracking import open_store as open_store
    from mlops.training import plots as plots
    from mlops.training.evaluate import evaluate as evaluate
    from mlops.training.train import train as train
    from mlops.use_case import UseCase as UseCase
    from mlops.use_case import load_use_case as load_use_case

# Name → module and name there; imported when it is first used, as each brings more than the command line needs.
_PLACES = {
    "Project": "mlops.config:Project",
    "UseCase": "mlops.use_case:UseCase",
    "columns": "mlops.data.columns",
    "build_bundle": "mlops.bundle.build:build",
    "copy_project": "mlops.testing:copy_project",
    "evaluate": "mlops.training.evaluate:evaluate",
    "find_version": "mlops.registry.versions:resolve",
    "load_project": "mlops.config:load_project",
    "load_use_case": "mlops.use_case:load_use_case",
    "open_store": "mlops.tracking:open_store",
    "plots": "mlops.training.plots",
    "read_data": "mlops.data.datasets:read",
    "stages": "mlops.data.stages",
    "tracking": "mlops.tracking",
    "train": "mlops.training.train:train",
}
__all__ = [
    "Project",
    "UseCase",
    "build_bundle",
    "columns",
    "copy_project",
    "evaluate",
    "find_version",
    "load_project",
    "load_use_case",
    "open_store",
    "plots",
    "read_data",
    "stages",
    "tracking",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are: {', '.join(__all__)}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(import_module(module), attribute) if attribute else import_module(module)
