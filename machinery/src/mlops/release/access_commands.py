"""The commands of `mlops release` by which a job comes to its registry and its target, and takes its leave of both."""

from __future__ import annotations

import os
import shutil

import typer

from mlops import console
from mlops.errors import UserError

JSON = typer.Option(False, "--json", help="Print the result as JSON.")

# The variable by which a job's later steps know the registry that Docker was logged in to.
LOGGED_IN = "MLOPS_LOGGED_IN"
# The same of the folder with the job's own configuration of Docker.
CONFIGURED = "MLOPS_DOCKER_CONFIG"
# The same of the folder with the secrets of the target.
ACCESS = "MLOPS_TARGET_ACCESS"


def login(json: bool = JSON) -> None:
    """Log Docker in to the registry: GitHub's with the workflow's token, another one with MLOPS_REGISTRY_PASSWORD.

    In a workflow, the job has a configuration of its own: jobs beside it on the same machine neither see nor end this login.
    `mlops release credentials --remove` takes both away.

    Example: mlops release login
    """
    from mlops import runner
    from mlops.git import in_actions
    from mlops.release import images
    from mlops.release import plan as planning

    credentials = planning.credentials()
    if credentials:
        if in_actions():
            os.environ["DOCKER_CONFIG"] = str(images.own_configuration(os.environ.get("RUNNER_TEMP")))
            for name in ("DOCKER_CONFIG", CONFIGURED):
                runner.variable(name, os.environ["DOCKER_CONFIG"])
        images.login(*credentials)
        runner.variable(LOGGED_IN, credentials[0])
    host = planning.registry().partition("/")[0]
    if json:
        console.as_json({"registry": host, "user": credentials[1] if credentials else None})
    else:
        console.note(
            f"{host}: logged in as {credentials[1]}" if credentials else f"{host}: no password is set, nothing to log in with"
        )


def credentials(
    remove: bool = typer.Option(
        False, "--remove", help="Take away what was written before, and what `mlops release login` left."
    ),
    json: bool = JSON,
) -> None:
    """Put the secrets of the target where ssh and kubectl of this job look for them; without secrets nothing is written.

    MLOPS_DEPLOY_SSH_KEY with MLOPS_DEPLOY_KNOWN_HOSTS for a host over SSH, MLOPS_DEPLOY_KUBECONFIG for a cluster. They lie
    in a folder of the job: jobs beside it on the same machine neither see nor end them.

    Example: mlops release credentials --remove
    """
    written = _remove() if remove else _write()
    if json:
        console.as_json({"written": written, "removed": remove})
    else:
        console.note("removed" if remove else f"written: {', '.join(written) or 'nothing, no secret is set'}")


def _write() -> list[str]:
    """Write the target's secrets and tell the job's later steps; returns the files."""
    from mlops import runner
    from mlops.git import in_actions
    from mlops.release import access

    names = ("MLOPS_DEPLOY_SSH_KEY", "MLOPS_DEPLOY_KNOWN_HOSTS", "MLOPS_DEPLOY_KUBECONFIG")
    key, hosts, kubeconfig = (os.environ.get(name, "") for name in names)
    if not key and not kubeconfig:
        return []
    if not in_actions():
        raise UserError("secrets are written for the steps of a workflow: here, ssh and kubectl read your own configuration")
    folder = access.write(os.environ.get("RUNNER_TEMP"), key, hosts, kubeconfig)
    runner.variable(ACCESS, str(folder))
    if (folder / access.PROGRAMS).is_dir():
        runner.path(str(folder / access.PROGRAMS))
    if (folder / access.KUBECONFIG).is_file():
        runner.variable("KUBECONFIG", str(folder / access.KUBECONFIG))
    return sorted(str(file) for file in folder.rglob("*") if file.is_file())


def _remove() -> list[str]:
    """Take away what the steps before have left: the target's secrets, the login to the registry and its configuration."""
    from mlops.release import images

    # The keys go first: Docker may fail to log out.
    _remove_folder(ACCESS)
    if host := os.environ.get(LOGGED_IN):
        images.logout(host)
    _remove_folder(CONFIGURED)
    return []


def _remove_folder(name: str) -> None:
    """Take away the folder that a variable of the job names."""
    if folder := os.environ.get(name):
        shutil.rmtree(folder, ignore_errors=True)
