"""Scores a file of rows through a running server, as Arrow in batches."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.errors import StoreUnreachable, UserError

if TYPE_CHECKING:
    import pandas as pd

BATCH = 20_000
ARROW = "application/vnd.apache.arrow.stream"


def score_file(url: str, source: Path, to: Path | None, token: str, name: str = "") -> dict[str, Any]:
    """The predictions for a file's rows, with the model's name and version; written beside the rows to `to`.

    Raises UserError for a file that cannot be read, another model than `name`, or rows that the server refuses.
    """
    frame = read(source)
    if to is not None and to.suffix not in (".csv", ".parquet"):
        raise UserError(f"{to}: rows are written as .csv or .parquet")
    served = json.loads(ask(f"{url}/version", token)[0])
    if name and served["use_case"] != name:
        raise UserError(f"{url} serves {served['use_case']} {served['number']}, not {name}")
    predictions: list[Any] = []
    for start in range(0, len(frame), BATCH):
        body = to_arrow(frame.iloc[start : start + BATCH])
        headers = {"content-type": ARROW, "accept": "application/json"}
        predictions += json.loads(ask(f"{url}/invocations", token, body, headers)[0])["predictions"]
    if to is not None:
        write(frame, predictions, to)
    return {"model": served["use_case"], "version": served["number"], "predictions": predictions}


def read(source: Path) -> pd.DataFrame:
    """The rows of a .csv, .parquet or MLflow .json file. Raises UserError."""
    import pandas as pd

    try:
        if source.suffix == ".csv":
            return pd.read_csv(source)
        if source.suffix == ".parquet":
            return pd.read_parquet(source)
        if source.suffix == ".json":
            content = json.loads(source.read_text(encoding="utf-8"))
            content = content.get("dataframe_split", content)
            return pd.DataFrame(content["data"], columns=content["columns"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{source} cannot be read: {type(error).__name__}: {error}") from None
    raise UserError(f"{source}: .csv, .parquet or .json is expected")


def to_arrow(frame: pd.DataFrame) -> bytes:
    """The rows as an Arrow IPC stream."""
    import pyarrow

    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    target = io.BytesIO()
    with pyarrow.ipc.new_stream(target, table.schema) as writer:
        writer.write_table(table)
    return target.getvalue()


def ask(url: str, token: str = "", body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[bytes, Any]:
    """A server's answer and its headers. Raises UserError with the server's own words where it refuses."""
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url}: an http or https address is expected")
    request = urllib.request.Request(url, body, headers or {})
    if token:
        request.add_header("authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        raise UserError(f"{url} answers {error.code}: {_message(error.read())}") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise StoreUnreachable(f"{url} does not answer ({reason}); start a server with: mlops serve") from None


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return "no reason given"


def write(frame: pd.DataFrame, predictions: list[Any], to: Path) -> None:
    """Write the rows with their predictions, atomically."""
    from mlops.files import replacing

    scored = frame.assign(prediction=predictions)
    with replacing(to) as temporary:
        if to.suffix == ".csv":
            scored.to_csv(temporary, index=False)
        else:
            scored.to_parquet(temporary, index=False)
