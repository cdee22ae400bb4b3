"""`mlops score`: raw rows in, predictions out."""

from __future__ import annotations

import typer

from mlops import console

app = typer.Typer()
SHOWN = 20


@app.command()
def score(
    name: str = typer.Argument(help="Use case."),
    source: str = typer.Argument(
        metavar="INPUT", help="A file of raw rows, as they were trained on; the target may be missing."
    ),
    to: str = typer.Argument("", metavar="[OUTPUT]", help="Write keys and predictions to this .csv or .parquet."),
    ref: str = typer.Option("", "--ref", help="Alias or number; default: the champion, else the newest version."),
    json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Score raw rows with the features that the version was trained with; answers with the key of each row.

    Example: mlops score churn new.csv scored.csv
    """
    from pathlib import Path

    from mlops.config import load_project
    from mlops.errors import UserError
    from mlops.files import replacing
    from mlops.scoring.raw import score as score_raw

    if to and not to.endswith((".csv", ".parquet")):
        raise UserError(f"{to}: predictions are written as .csv or .parquet; name it so")
    scored = score_raw(load_project(), name, ref or None, Path(source))
    if to:
        with replacing(Path(to)) as temporary:
            if to.endswith(".csv"):
                scored.rows.to_csv(temporary, index=False)
            else:
                scored.rows.to_parquet(temporary, index=False)
    if scored.unanswered:
        console.note(f"{scored.unanswered} rows have no answer: load or features left them out")
    if json:
        rows = scored.rows.astype(object).to_dict("records")
        console.as_json({"use_case": name, "version": scored.number, "unanswered": scored.unanswered, "predictions": rows})
    elif to:
        console.note(f"{name} {scored.number}: {len(scored.rows)} predictions in {to}")
    else:
        head = scored.rows.head(SHOWN)
        console.table(f"{name} {scored.number}, {len(scored.rows)} rows", list(map(str, head)), head.itertuples(index=False))
        if len(scored.rows) > SHOWN:
            console.note(f"the first {SHOWN} are shown; an OUTPUT file or --json gives all")
