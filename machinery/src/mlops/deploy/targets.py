"""What a place that runs services can do, and which place an environment is configured to have."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from mlops.config import Project
from mlops.config.operations import Environment
from mlops.errors import MlopsError, UserError

MODULES = {
    "compose": "compose",
    "kubernetes": "kubernetes",
    "sagemaker": "cloud",
    "azureml": "cloud",
    "databricks": "cloud",
}


# What MLflow keeps for itself and no alias can be.
RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)
# These build a server of their own around the registered model, and take no image.
CLOUDS = tuple(kind for kind, module in MODULES.items() if module == "cloud")


class DeployFailed(MlopsError):
    """Raised when the new service did not prove itself; the one before it still answers."""

    exit_code = 1


class Service(NamedTuple):
    """What is to run in an environment: the use case, its version number, the image (by digest where a registry holds it,
    "" where the target takes none) and the digest of the bundle inside, that /version has to answer.
    """

    use_case: str
    number: str
    image: str
    bundle: str


@dataclass(frozen=True)
class Container:
    """A service's container on the host; `slot` is its place behind the proxy."""

    id: str
    name: str
    slot: str
    service: Service
    runs: bool
    proven: bool
    created: str
    address: str


class Target(Protocol):
    """A place that runs services. Each call raises UserError for a place that is not reachable or not configured."""

    def deploy(self, service: Service) -> str:
        """Replace what runs, with no refused request, and return the address that answers; raise DeployFailed otherwise."""

    def running(self, use_case: str) -> Service | None:
        """Return what runs now, None where nothing does."""

    def check(self, use_case: str) -> list[str]:
        """Return what is wrong with what runs, one line each with the command that repairs it; none where all is well."""

    def plan(self, service: Service) -> list[str]:
        """Return what `deploy` would do, one line each, without doing it."""


class Return(NamedTuple):
    """What a target did by itself: it went back from `left`, for a reason, to a service, at a moment in seconds since 1970."""

    left: str
    service: Service
    reason: str
    moment: int


@runtime_checkable
class Repairable(Protocol):
    """A target that has something of its own before the services, and goes back to the old one by itself."""

    def own_return(self, use_case: str) -> Return | None:
        """Return the return that it made by itself since the last deployment, None where there was none."""

    def repair(self, use_case: str) -> str:
        """Bring it back where it is gone, and return the address that answers; raise UserError where no service runs."""


@runtime_checkable
class Identifies(Protocol):
    """A target that knows images by their content, whatever their names."""

    def digest(self, service: Service) -> str:
        """Return the digest of a service's image, which is brought there first; raise UserError where it cannot be had."""


def of(project: Project, environment: str) -> Target | None:
    """Return the target of an environment, None where none is configured: a release is then verified, not deployed."""
    chosen = environment_of(project, environment)
    if chosen.target == "none":
        return None
    module = importlib.import_module(f"mlops.deploy.{MODULES[chosen.target]}")
    target: Target = module.target(project, environment, chosen)
    return target


def environment_of(project: Project, name: str) -> Environment:
    """Return the configuration of an environment; raise UserError for one that config/project.yaml does not have."""
    if name not in project.deploy:
        raise UserError(f"no environment {name!r} in config/project.yaml; there are: {', '.join(sorted(project.deploy))}")
    if not name.replace("-", "_").isidentifier() or RESERVED.fullmatch(name):
        raise UserError(
            f"config/project.yaml: {name!r} is no valid name of an environment: an alias of the same name follows what is "
            "deployed there; take a word of letters, digits, - and _ such as production or eu-west"
        )
    return project.deploy[name]
