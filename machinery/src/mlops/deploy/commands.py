"""`mlops contract`, `verify`, `deploy`, `deployments`, `rollback` and `dashboards`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from mlops import console

if TYPE_CHECKING:
    from mlops.config import Project
    from mlops.deploy.contract import Check
    from mlops.registry.deployment_log import Deployment

app = typer.Typer()

NAME = typer.Argument("", help="Use case; default: the project's default one.")
JSON = typer.Option(False, "--json", help="Print the result as JSON.")
IMAGE = typer.Option("", "--image", help="An image that is there; its bundle says what it serves.")
REASON = typer.Option(..., "--reason", help="Why; goes into the deployment log.")
RESULT = typer.Option("", "--result", metavar="FILE", help="Write the outcome here, for mlops deployments --record.")
RECORD = typer.Option(
    True, "--record/--no-record", help="Write what came of it into the store; without, --result keeps it for later."
)
LIMIT = typer.Option(5.0, "--limit", min=0.01, help="Seconds within which each answer has to come.")
TOKEN = typer.Option("", "--token", envvar="MLOPS_SERVE_TOKEN", help="Bearer token, where the server asks for one.")


@app.command()
def contract(
    url: str = typer.Argument(..., help="Where the service answers, as http://127.0.0.1:8080."),
    bundle: str = typer.Option("", "--bundle", metavar="DIR", help="The bundle that has to answer there."),
    image: str = typer.Option("", "--image", help="The image whose bundle has to answer there."),
    limit: float = LIMIT,
    token: str = TOKEN,
    json: bool = JSON,
) -> None:
    """Hold a running service to its contract: version, the model's answers, clear refusals, counts; exit code 1 if broken.

    Example: mlops contract http://127.0.0.1:8080 --bundle output/bundles/iris/1.0.0
    """
    from pathlib import Path

    from mlops.deploy import contract as contracts
    from mlops.deploy.docker import Docker, manifest_of
    from mlops.errors import UserError

    if bool(bundle) == bool(image):
        raise UserError("either --bundle DIR or --image REF says what has to answer")
    manifest = contracts.read_bundle(Path(bundle)) if bundle else manifest_of(Docker(), image)
    checks = contracts.check(url, manifest, limit, token)
    _show_checks(url, checks, json)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@app.command()
def verify(image: str = typer.Argument(..., help="The image."), limit: float = LIMIT, json: bool = JSON) -> None:
    """Start an image on this machine, hold it to its contract and remove it: verified, not deployed.

    Example: mlops verify iris:1.0.0
    """
    from mlops.deploy import deployment

    checks = deployment.verify(image, limit=limit)
    _show_checks(image, checks, json)
    console.note(f"{image}: verified, not deployed")


@app.command()
def deploy(
    name: str = NAME,
    ref: str = typer.Argument("", help="Alias (champion) or number (1.2.3); default: the champion, else the newest version."),
    to: str = typer.Option(..., "--to", metavar="ENVIRONMENT", help="staging, production or another of config/project.yaml."),
    reason: str = REASON,
    manifest: str = typer.Option("", "--manifest", metavar="FILE", help="Deploy what this release manifest names."),
    image: str = IMAGE,
    tag: str = typer.Option("", "--tag", help="The release's tag, for the log; default: the manifest's."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be done."),
    record: bool = RECORD,
    result: str = RESULT,
    json: bool = JSON,
) -> None:
    """Deploy a version or a release to an environment, with no refused request; exit code 1 when the old one had to stay.

    Where the environment has no target the image is verified on this machine, and nothing is deployed.

    Example: mlops deploy iris champion --to production --reason "better on small flowers"
    """
    from pathlib import Path

    from mlops.config import load_project
    from mlops.deploy import deployment, targets
    from mlops.errors import UserError
    from mlops.registry import deployment_log

    project = load_project()
    targets.environment_of(project, to)
    why = deployment_log.check_reason(reason)
    if manifest and (image or ref):
        raise UserError("a release manifest names version and image itself: leave REF and --image away")
    if manifest:
        services, released = deployment.of_release(Path(manifest), name)
    else:
        services, released = [deployment.of_version(project, name, ref or None, to, image, make=not dry_run)], ""
    request = deployment.DeploymentRequest(services, to, tag or released, why)
    if dry_run:
        return _show_plan(deployment.plan(project, request), json)
    outcomes = deployment.deploy(project, request)
    deployment.finish(project, outcomes, record, Path(result) if result else None, lambda done: _show(done, json))


@app.command()
def deployments(
    name: str = NAME,
    to: str = typer.Option("", "--to", metavar="ENVIRONMENT", help="Only this environment."),
    record: str = typer.Option("", "--record", metavar="FILE", help="Write what --result kept into the log first."),
    check: bool = typer.Option(False, "--check", help="Check that what was deployed answers; exit code 1 where it does not."),
    dry_run: bool = typer.Option(False, "--dry-run", help="With --check: write nothing into the log."),
    repair: bool = typer.Option(False, "--repair", help="Bring the proxy of --to back where it is gone, then check."),
    json: bool = JSON,
) -> None:
    """The deployment log: what went where, when, by whom, why, and with which result; or whether it still answers.

    Example: mlops deployments iris --to production
    """
    from pathlib import Path

    from mlops.config import load_project, load_use_case_config
    from mlops.registry import deployment_log

    project = load_project()
    if record:
        written = deployment_log.record(project, deployment_log.read_result(Path(record)))
        console.note(f"{len(written)} written to the deployment log" if written else "the deployment log holds this already")
        if not name:
            return _show(written, json)
    name = name or project.default_use_case
    load_use_case_config(project, name)
    if check or repair:
        return _check(project, name, to, repair, not dry_run, json)
    _show(deployment_log.history(project, name, to), json)


@app.command()
def rollback(
    name: str = NAME,
    to: str = typer.Option("", "--to", metavar="NUMBER", help="Version; default: the one that was deployed before."),
    environment: str = typer.Option("production", "--environment", help="Where."),
    alias: str = typer.Option("", "--alias", help="Deploy nothing, move this alias of the registry back."),
    reason: str = REASON,
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be done."),
    record: bool = RECORD,
    result: str = RESULT,
    json: bool = JSON,
) -> None:
    """Go back to the version that was deployed before, through the same target and the same contract.

    Where the environment has no target, or with --alias, an alias of the registry moves back instead.

    Example: mlops rollback iris --to 1.0.0 --reason "wrong on small flowers"
    """
    from pathlib import Path

    from mlops.config import load_project, load_use_case_config
    from mlops.deploy import deployment, targets
    from mlops.registry import deployment_log

    project = load_project()
    name = name or project.default_use_case
    load_use_case_config(project, name)
    why = deployment_log.check_reason(reason)
    if alias or targets.environment_of(project, environment).target == "none":
        moved = deployment.rollback_alias(project, name, alias or environment, to, why)
        if dry_run:
            return _show_plan({name: [f"move the alias {moved.alias} from {moved.before} to {moved.number}"]}, json)
        outcomes = [moved]
    else:
        service = deployment.rollback_target(project, name, environment, to)
        recorded = deployment.recorded_digest(project, service)
        request = deployment.DeploymentRequest([service], environment, "", why, "rollback", recorded)
        if dry_run:
            return _show_plan(deployment.plan(project, request), json)
        outcomes = deployment.deploy(project, request)
    deployment.finish(project, outcomes, record, Path(result) if result else None, lambda done: _show(done, json))


@app.command()
def dashboards(
    out: str = typer.Option(
        "output/dashboards", "--out", "-o", metavar="FOLDER", help="Where; what has these names is replaced."
    ),
    json: bool = JSON,
) -> None:
    """Write alert rules for Prometheus and a dashboard for Grafana, for the metrics of the services.

    Example: mlops dashboards --out monitoring
    """
    from pathlib import Path

    from mlops.deploy import dashboards as shipped

    written = shipped.write(Path(out))
    if json:
        return console.as_json([str(file) for file in written])
    for file in written:
        console.note(f"written {file}")


def _check(project: Project, name: str, to: str, repair: bool, record: bool, json: bool) -> None:
    """Show whether what was deployed answers, environment by environment; exit code 1 where something does not."""
    from mlops.deploy import deployment

    for item in deployment.record_returns(project, name, to) if record else []:
        console.note(f"written to the deployment log: {item.environment} went back to {item.number}, {item.why}")
    if repair:
        console.note(f"{name} answers at {deployment.repair(project, name, to)}")
    faults = deployment.check(project, name, to)
    if json:
        console.as_json(faults)
    for environment, messages in faults.items():
        for fault in messages or ["answers as it was deployed"]:
            console.note(f"{environment}: {fault}")
    if not faults:
        console.note("no environment has a target, so nothing runs that could be checked")
    if any(faults.values()):
        raise typer.Exit(1)


def _show_checks(where: str, checks: Sequence[Check], json: bool) -> None:
    if json:
        return console.as_json(
            {"where": where, "ok": all(check.ok for check in checks), "checks": [check._asdict() for check in checks]}
        )
    rows = [("kept" if check.ok else "BROKEN", check.name, check.detail) for check in checks]
    console.table(f"Contract of {where}", ("", "clause", "detail"), rows)


def _show_plan(steps: dict[str, list[str]], json: bool) -> None:
    if json:
        return console.as_json(steps)
    for name, lines in steps.items():
        console.table(f"{name}: what would be done", ("step", ""), list(enumerate(lines, 1)))


def _show(deployments: Sequence[Deployment], json: bool) -> None:
    if json:
        from dataclasses import asdict

        return console.as_json([asdict(item) for item in deployments])
    if not deployments:
        return console.note("nothing was deployed yet")
    rows = [
        (
            item.when,
            f"{item.use_case}, {item.environment or item.alias}",
            f"{item.action}: {item.result}",
            f"{item.before} → {item.number}" if item.before else item.number,
            "\n".join(part for part in (item.tag, _short(item.image)) if part) or None,
            f"{item.who}: {item.why}" + (f" ({item.message})" if item.message else ""),
        )
        for item in deployments
    ]
    console.table("Deployments", ("when", "where", "result", "version", "release", "who and why"), rows)


def _short(image: str) -> str:
    """Return an image's name without its registry, and the digest as git shows one."""
    name, _, digest = image.rpartition("/")[2].partition("@sha256:")
    return f"{name}@{digest[:12]}" if digest else name
