"""The commands of `mlops release` by which a job comes to its registry and its target, and takes its leave of both."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import typer

from mlops import console

JSON = typer.Option(False, "--json", help="Print the result as JSON.")

# The variable by which a job's later steps know the registry that Docker was logged in to.
LOGGED_IN = "MLOPS_LOGGED_IN"
# The same of the folder with the job's own configuration of Docker.
CONFIGURED = "MLOPS_DOCKER_CONFIG"


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
    """Put the secrets of the target where ssh and kubectl look for them; without secrets nothing is written.

    MLOPS_DEPLOY_SSH_KEY with MLOPS_DEPLOY_KNOWN_HOSTS for a host over SSH, MLOPS_DEPLOY_KUBECONFIG for a cluster.

    Example: mlops release credentials --remove
    """
    from mlops import runner
    from mlops.release import access, images

    home = Path.home()
    if remove:
        access.remove(home)
        if host := os.environ.get(LOGGED_IN):
            images.logout(host)
        if folder := os.environ.get(CONFIGURED):
            shutil.rmtree(folder, ignore_errors=True)
        written: list[str] = []
    else:
        names = ("MLOPS_DEPLOY_SSH_KEY", "MLOPS_DEPLOY_KNOWN_HOSTS", "MLOPS_DEPLOY_KUBECONFIG")
        key, hosts, kubeconfig = (os.environ.get(name, "") for name in names)
        written = access.write(home, key, hosts, kubeconfig)
        if kubeconfig:
            runner.variable("KUBECONFIG", str(home / access.KUBECONFIG))
    if json:
        console.as_json({"written": written, "removed": remove})
    else:
        console.note("removed" if remove else f"written: {', '.join(written) or 'nothing, no secret is set'}")
