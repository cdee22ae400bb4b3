"""`mlops release`: what the workflow of a tag runs, each step a command that a person can run as well."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mlops import console
from mlops.release import access_commands, training_commands
from mlops.release.training_commands import commit_of, github_of

if TYPE_CHECKING:
    from mlops.config import Project
    from mlops.release.manifest import Release

app = typer.Typer(help="A tag's images, what is published of them, what a deployment takes.", no_args_is_help=True)

TAG = typer.Argument(help="The release tag: vX.Y.Z or vX.Y.Z-rc.N.")
NAME = typer.Argument(help="Use case.")
OF_TAG = typer.Option(..., "--tag", help="The release tag: vX.Y.Z or vX.Y.Z-rc.N.")
JSON = typer.Option(False, "--json", help="Print the result as JSON.")


app.command()(training_commands.wait)
app.command()(training_commands.resume)
app.command()(training_commands.target)


@app.command()
def plan(tag: str = TAG, json: bool = JSON) -> None:
    """Say which use cases a tag releases, in which versions, and to which environment.

    Example: mlops release plan v1.4.0 --json
    """
    from json import dumps

    from mlops import runner
    from mlops.errors import UserError
    from mlops.gitflow import registered, tags
    from mlops.release import publish as publishing

    parsed, project = tags.parse(tag), _project()
    if runner.event_name():
        publishing.refuse_moved(github_of(project), tag, commit_of(project, tag))
    versions = _served(project, tag)
    if runner.event_name():
        registered.verify(project, commit_of(project, tag))
    if not versions:
        raise UserError(f"{tag} has no use case that is served: set serving.image: true in the config of one")
    result = {"environment": parsed.environment, "use_cases": sorted(versions), "versions": versions}
    runner.output("environment", parsed.environment)
    runner.output("deploys", "true" if training_commands.deploys(project, parsed.environment) else "false")
    runner.output("use_cases", dumps(result["use_cases"]))
    _show_result(f"{tag} to {parsed.environment}", ["use case", "version"], sorted(versions.items()), result, json)


app.command()(access_commands.login)


@app.command()
def image(name: str = NAME, tag: str = OF_TAG, json: bool = JSON) -> None:
    """Build the image of the version that a tag releases, or take the one that its candidate was tested as.

    Example: mlops release image ridership --tag v1.4.0
    """
    from mlops import runner
    from mlops.bundle.image import build
    from mlops.files import write_json
    from mlops.git import repository
    from mlops.gitflow import registered as verified
    from mlops.gitflow.checks import remote_tags
    from mlops.registry import versions
    from mlops.release import images
    from mlops.release import plan as planning
    from mlops.scoring import registered

    project = _project()
    number = _number(project, name, tag)
    if runner.event_name():
        verified.verify(project, commit_of(project, tag))
    version = versions.resolve(project, name, number)
    bundle = registered.bundle(project, name, number, None, None)
    settings = registered.image_settings(project, bundle)
    server = images.server_digest(project.root, bundle, settings)
    earlier = _published(project, planning.candidates(tag, remote_tags(project.root)))
    taken = planning.promotion(name, number, version.tags["key"], server, earlier)
    local = taken.image if taken else f"{planning.repository(name, repository(project.root))}:{tag}"
    if taken:
        images.pull(local)
    else:
        with console.step(f"building the image of {name} {number}"):
            build(project.root, bundle, local, registered.rows_of(project, bundle), settings)
    model = {
        "number": number,
        "run_id": version.run_id,
        "key": version.tags["key"],
        "commit": version.tags["git_commit"],
        "data": version.tags["data_digest"],
        "metrics": bundle.content["version"]["metrics"],
        # On another machine the bundle may differ in the last digit of its evidence: what counts is what the image holds.
        "bundle": taken.bundle if taken else bundle.digest,
        "server": server,
        "image": local,
        "promoted": taken.tag if taken and taken.tag != tag else "",
    }
    write_json(_folder(project, name) / "image.json", model)
    runner.output("image", local)
    runner.output("number", number)
    rows = [("image", local), ("how", f"taken over from {taken.tag}" if taken else "built")]
    _show_result(f"{name} {number}", ["", "value"], rows, model, json)


@app.command()
def push(name: str = NAME, tag: str = OF_TAG, json: bool = JSON) -> None:
    """Push the image that `mlops release image` left, note its digest, and list what is in it.

    Example: mlops release push ridership --tag v1.4.0
    """
    from mlops import runner
    from mlops.files import write_json, write_text
    from mlops.git import git, repository
    from mlops.release import images, manifest
    from mlops.release import plan as planning
    from mlops.release import sbom

    project = _project()
    folder = _folder(project, name)
    model = _image(folder / "image.json", tag)
    where = planning.repository(name, repository(project.root))
    digest = images.push(model["image"], f"{where}:{tag}")
    if "@" in model["image"] and not model["image"].endswith(digest):
        console.note(f"{where}:{tag} has another digest than {model['image']}: what is released is the latter")
    else:
        model["image"] = f"{where}@{digest}"
    date = git("log", "-1", "--format=%cI", commit_of(project, tag), root=project.root)
    bill = sbom.cyclonedx(model["image"], model["number"], images.inventory(model["image"]), date)
    write_text(folder / f"{name}.cdx.json", bill)
    write_json(folder / "model.json", manifest.Model.model_validate(model).model_dump(mode="json"))
    runner.output("name", model["image"].partition("@")[0])
    runner.output("digest", model["image"].partition("@")[2])
    _show_result(f"{name} {model['number']}", ["", "value"], [("image", model["image"])], model, json)


@app.command()
def attested(
    name: str = NAME,
    outcome: str = typer.Option(..., "--outcome", help="How the step that attests ended: success, failure or skipped."),
    url: str = typer.Option("", "--url", help="The page of the attestation."),
    json: bool = JSON,
) -> None:
    """Note whether the image's digest was attested; where the plan has no attestations, say so and go on.

    Example: mlops release attested ridership --outcome skipped
    """
    from mlops import runner
    from mlops.files import write_json

    if outcome == "success":
        write_json(_folder(_project(), name) / "attestation.json", {"url": url})
    else:
        runner.notice(
            f"{name}: the image's digest is not attested (the step: {outcome}); private repositories need a plan for it"
        )
    if json:
        console.as_json({"use_case": name, "attested": outcome == "success", "url": url or None})


@app.command()
def publish(
    tag: str = TAG,
    folder: Path = typer.Argument(help="Where the artifacts release-NAME were unpacked: NAME/model.json."),
    expect: str = typer.Option("", "--expect", metavar="JSON", help="The use cases that are released; default: the plan's."),
    notebooks: str = typer.Option("", "--notebooks", metavar="DIR", help="Pages of the notebooks, to be attached."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Write release.json and the notes, publish nothing."),
    json: bool = JSON,
) -> None:
    """Publish the GitHub release of a tag: notes, release.json, bills of materials, model cards, pages of the notebooks.

    Example: mlops release publish v1.4.0 artifacts --dry-run
    """
    from mlops import runner
    from mlops.files import write_text
    from mlops.gitflow import tags
    from mlops.release import assets, manifest
    from mlops.release import publish as publishing

    project = _project()
    names = assets.names(expect) if expect else sorted(_served(project, tag))
    release = assets.gather(tag, commit_of(project, tag), folder, names)
    repo = github_of(project)
    notes = _notes(project, release, folder, repo.name)
    output = project.output / "release"
    manifest.write(output / manifest.FILE, release)
    write_text(output / "notes.md", notes)
    files = [output / manifest.FILE, *assets.beside(folder, sorted(release.models))]
    if notebooks and (pages := assets.archive(Path(notebooks), output / "notebooks.zip")):
        files.append(pages)
    link = "" if dry_run else publishing.publish(repo, release, notes, files, bool(tags.parse(tag).candidate))["html_url"]
    runner.summary(f"## {tag}\n\n{link or 'Nothing was published.'}\n\n{notes}")
    if json:
        console.as_json(
            {"url": link or None, "release": release.model_dump(mode="json"), "assets": [file.name for file in files]}
        )


@app.command()
def fetch(
    tag: str = TAG,
    environment: str = typer.Option("", "--to", metavar="ENV", help="Refuse a tag that may not go to this environment."),
    json: bool = JSON,
) -> None:
    """Fetch release.json of a published release into output/release/, checked.

    Example: mlops release fetch v1.4.0 --to production
    """
    from mlops import runner
    from mlops.gitflow import registered, tags
    from mlops.registry import releases
    from mlops.release import manifest
    from mlops.release import publish as publishing

    tags.parse(tag)
    project = _project()
    release = publishing.fetch(github_of(project), tag)
    if runner.event_name():
        registered.verify(project, release.commit)
        publishing.refuse_other_versions(release, releases.read(project, release.commit))
    if environment:
        manifest.refuse_wrong_environment(release, environment)
    file = project.output / "release" / manifest.FILE
    manifest.write(file, release)
    rows = [(name, model.number, model.image) for name, model in sorted(release.models.items())]
    _show_result(f"{tag} in {file}", ["use case", "version", "image"], rows, release.model_dump(mode="json"), json)


app.command()(access_commands.credentials)


@app.command()
def summary(
    file: Path = typer.Argument(help="What `mlops deploy --result` or `mlops rollback --result` wrote."), json: bool = JSON
) -> None:
    """Put what was deployed on the summary page of the job: before, after, by whom, why.

    Example: mlops release summary output/deploy/result.json
    """
    from dataclasses import asdict

    from mlops import runner
    from mlops.registry import deployment_log
    from mlops.release import notes

    exists = file.is_file()
    runner.output("result", "true" if exists else "false")
    entries = deployment_log.read_result(file) if exists else []
    runner.summary(notes.deployments(entries) if exists else "### Deployment\n\nNothing was tried: see the log of this job.")
    if json:
        console.as_json([asdict(item) for item in entries])


def _project() -> Project:
    from mlops.config import load_project

    return load_project()


def _served(project: Project, tag: str) -> dict[str, str]:
    """Return use case → version number of what a tag releases."""
    from mlops.config import load_use_case_config
    from mlops.registry import releases
    from mlops.release import plan as planning

    configured = {name: load_use_case_config(project, name) for name in project.use_cases}
    # Where a refusal is expected there is no version that could be served.
    images = {name: config.serving.image and not config.expect for name, config in configured.items()}
    return planning.served(releases.read(project, commit_of(project, tag)), images)


def _number(project: Project, name: str, tag: str) -> str:
    from mlops.config import nearest
    from mlops.errors import UserError

    versions = _served(project, tag)
    if name not in versions:
        raise UserError(
            f"{tag} releases no {name!r}{nearest(name, versions)}; it releases: {', '.join(versions) or 'nothing'}"
        )
    return versions[name]


def _published(project: Project, tags: list[str]) -> list[Release]:
    """Return what the published releases among these tags stand for; none where GitHub is not known here."""
    from mlops.git import repository
    from mlops.gitflow import github
    from mlops.release.publish import release_of

    name = repository(project.root)
    if not name:
        console.note("the repository on GitHub is not known here: no earlier image is looked for")
        return []
    repo = github.connect(name)
    return [release for tag in tags if (release := release_of(repo, tag))]


def _folder(project: Project, name: str) -> Path:
    return project.output / "release" / name


def _image(file: Path, tag: str) -> dict[str, Any]:
    """Return what `mlops release image` left; raise UserError where it did not run."""
    from json import loads

    from mlops.errors import UserError

    if not file.is_file():
        raise UserError(f"{file} is missing: mlops release image {file.parent.name} --tag {tag}")
    return dict(loads(file.read_text(encoding="utf-8")))


def _notes(project: Project, release: Release, folder: Path, repository: str) -> str:
    from mlops.config import load_use_case_config
    from mlops.gitflow.checks import CHANGELOG
    from mlops.gitflow.versions import changelog_entry
    from mlops.release import assets, notes

    changelog = project.root / CHANGELOG
    text = changelog.read_text(encoding="utf-8") if changelog.is_file() else ""
    rules = {name: load_use_case_config(project, name).metrics for name in release.models if name in project.use_cases}
    return notes.markdown(release, changelog_entry(text, release.version), rules, repository, assets.attested(folder, release))


def _show_result(title: str, columns: list[str], rows: list[Any], value: Any, json: bool) -> None:
    if json:
        console.as_json(value)
    else:
        console.table(title, columns, rows)
