"""A project whose own use cases are found."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import postgres, s3  # noqa: F401  (fixtures)
from tables import Trained

import use_cases
from mlops import pipeline
from mlops.config import Project
from mlops.registry.register import Outcome
from mlops.scaffold.add import Added
from mlops.scaffold.add import add as add_use_case
from mlops.scaffold.understand import Wishes
from mlops.use_case import load_use_case


@pytest.fixture
def own(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project, the code of whose use cases is imported from its own folder."""
    monkeypatch.setattr(use_cases, "__path__", [*use_cases.__path__, str(project.root / "src" / "use_cases")])
    known = set(sys.modules)
    yield project
    for name in [name for name in sys.modules if name.startswith("use_cases.") and name not in known]:
        del sys.modules[name]


@pytest.fixture
def trained(own: Project) -> Trained:
    """Add a use case for a file and run the main job."""

    def run(file: Path, target: str, name: str = "mine", **wishes: object) -> tuple[Added, Outcome]:
        added = add_use_case(own, name, str(file), Wishes(target, **wishes))  # type: ignore[arg-type]
        return added, pipeline.run(own, load_use_case(own, name))

    return run
