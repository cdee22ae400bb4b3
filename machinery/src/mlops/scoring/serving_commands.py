"""`mlops bundle`, `serve`, `image` and `client`: a registered model on a port, in a container, and asked."""

from __future__ import annotations

import typer

from mlops import console

app = typer.Typer()

PACKAGES = ("uvicorn", "starlette", "msgspec", "onnxruntime", "skl2onnx")

NAME = typer.Argument("", help="Use case; default: the project's default one.")
REF = typer.Argument("", help="Alias (champion) or number (1.2.3); default: the champion, else the newest version.")
JSON = typer.Option(False, "--json", help="Print the result as JSON.")
FORMAT = typer.Option("", "--format", help="onnx, skops or pyfunc; default: the first of them that gives the model's answers.")


def _need_packages() -> None:
    """Raise UserError where the packages are missing that a model is converted and served with."""
    from importlib.util import find_spec

    from mlops.errors import UserError

    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(f"{', '.join(missing)}: not installed, and needed to serve a model; run: make setup")


@app.command()
def bundle(
    name: str = NAME,
    ref: str = REF,
    to: str = typer.Option("", "--to", metavar="DIR", help="Folder; default: output/bundles/NAME/NUMBER."),
    form: str = FORMAT,
    json: bool = JSON,
) -> None:
    """Write what a server needs to answer as a registered version does, checked on its holdout.

    Example: mlops bundle iris champion --to /tmp/iris
    """
    from pathlib import Path

    _need_packages()
    from mlops.config import load_project
    from mlops.scoring import registered

    built = registered.bundle(load_project(), name, ref or None, Path(to) if to else None, form or None)
    if json:
        return console.as_json({"folder": str(built.folder), **built.identity, "evidence": built.content["evidence"]})
    rows = [("format", built.format), ("digest", built.digest), ("folder", built.folder)]
    rows += list(built.content["evidence"].items())
    rows += [(f"not {form}", reason) for form, reason in built.content["passed_over"].items()]
    console.table(f"{built.name} {built.number}", ["", "value"], [(key, str(value)) for key, value in rows])


@app.command()
def serve(
    name: str = NAME,
    ref: str = REF,
    host: str = typer.Option("", "--host", help="Address to listen on; default: 127.0.0.1."),
    port: int | None = typer.Option(None, "--port", "-p", help="Port, 0 lets the system choose; default: 8080."),
    folder: str = typer.Option("", "--bundle", metavar="DIR", help="Serve this bundle instead of a registered version."),
    form: str = FORMAT,
) -> None:
    """Answer for a registered version on a port; limits are set by MLOPS_SERVE_* variables, see `mlops docs serving`.

    Example: mlops serve ridership --port 8080
    """
    from pathlib import Path

    _need_packages()
    from mlops.config import load_project
    from mlops.scoring import registered
    from mlops.serving.run import run
    from mlops.serving.settings import from_environment

    if folder:
        return run(Path(folder), from_environment(host=host or None, port=port))
    project = load_project()
    built = registered.bundle(project, name, ref or None, None, form or None)
    console.note(f"{built.name} {built.number} as {built.format}, sha256:{built.digest[:12]}")
    run(built.folder, from_environment(host=host or None, port=port, **registered.reader_of(project, built)))


@app.command()
def image(
    name: str = NAME,
    ref: str = REF,
    tag: str = typer.Option("", "--tag", "-t", help="The image's name; default: NAME:NUMBER."),
    form: str = FORMAT,
    context: str = typer.Option("", "--context", metavar="DIR", help="Only write what docker build takes, into this folder."),
    json: bool = JSON,
) -> None:
    """Build a container image that answers for a registered version, with Docker.

    Example: mlops image ridership --tag ridership:latest
    """
    from pathlib import Path

    _need_packages()
    from mlops.bundle.image import build, prove, stage
    from mlops.config import load_project
    from mlops.scoring import registered

    project = load_project()
    built = registered.bundle(project, name, ref or None, None, form or None)
    settings, rows = registered.image_settings(project, built), registered.rows_of(project, built)
    if context:
        arguments = stage(project.root, built, Path(context), settings)
        with console.step("trying what the image would hold"):
            prove(Path(context), rows, settings)
        result = {"context": context, "arguments": arguments}
    else:
        with console.step(f"building the image of {built.name} {built.number}"):
            result = build(project.root, built, tag or f"{built.name}:{built.number}", rows, settings)
    if json:
        return console.as_json(result)
    console.table(f"{built.name} {built.number}", ["", "value"], [(key, str(value)) for key, value in result.items()])


@app.command()
def client(
    name: str = NAME,
    source: str = typer.Option(..., "--input", "-i", metavar="FILE", help="Rows to score: .csv, .parquet or MLflow's .json."),
    url: str = typer.Option("http://127.0.0.1:8080", "--url", help="Where the server answers."),
    to: str = typer.Option("", "--output", "-o", metavar="FILE", help="Write rows with predictions to this .csv or .parquet."),
    wait: float = typer.Option(30.0, "--wait", help="Seconds that the server may take to become ready."),
    token: str = typer.Option("", "--token", envvar="MLOPS_SERVE_TOKEN", help="Bearer token, where the server asks for one."),
    include: list[str] = typer.Option([], "--include", help="Also probabilities, intervals, sets or contributions."),
    json: bool = JSON,
) -> None:
    """Score a file of rows through a running server.

    Example: mlops client ridership --input rows.csv --output scored.csv
    """
    from pathlib import Path

    from mlops.scoring.client import score_file

    answer = score_file(url, Path(source), Path(to) if to else None, token, name, include, wait)
    if json:
        return console.as_json(answer)
    title = f"{answer['model']} {answer['version']}, {len(answer['predictions'])} rows"
    rows = [(row, value) for row, value in enumerate(answer["predictions"][:20])]
    console.table(title, ["row", "prediction"], rows)
    if len(answer["predictions"]) > len(rows):
        console.note(f"the first {len(rows)} are shown; --json or --output gives all")
