"""Typed configuration: `config/project.yaml` and one `config/<use case>.yaml` each."""

from mlops.config.decisions import Bootstrap, Target
from mlops.config.loader import (
    check_use_case,
    find_root,
    load_project,
    load_use_case_config,
    nearest,
    place_of,
    unknown,
)
from mlops.config.models import Metric, Project, Range, Split, Tune, UseCaseConfig

__all__ = [
    "Bootstrap",
    "Metric",
    "Project",
    "Range",
    "Split",
    "Target",
    "Tune",
    "UseCaseConfig",
    "check_use_case",
    "find_root",
    "load_project",
    "load_use_case_config",
    "nearest",
    "place_of",
    "unknown",
]
