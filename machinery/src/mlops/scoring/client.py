"""Scores a file of rows through a running server, as Arrow in batches."""

from __future__ import annotations

import http.client
import io
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.errors import StoreUnreachable, UserError

if TYPE_CHECKING:
    import pandas as pd

BATCH = 20_000
ARROW = "application/vnd.apache.arrow.stream"
# How the Open Inference Protocol calls text, and the moments that are written as text.
TEXT = "BYTES"


def score_file(
    url: str,
    source: Path,
    to: Path | None,
    token: str,
    name: str = "",
    include: Sequence[str] = (),
    wait: float = 0.0,
) -> dict[str, Any]:
    """The predictions for a file's rows, with the model's name and version; written beside the rows to `to`.

    include: what the server gives beside them, as in `probabilities`; each becomes a column a value.
    wait: how many seconds the server may take to become ready.

    Raises UserError for a file that cannot be read, another model than `name`, another server than `mlops serve`, or rows
    that it refuses.
    """
    if to is not None and to.suffix not in (".csv", ".parquet"):
        raise UserError(f"{to}: rows are written as .csv or .parquet")
    wait_ready(url, wait)
    model, number = answered(f"{url}/version", token, keys=("use_case", "number"))
    if name and model != name:
        raise UserError(f"{url} serves {model} {number}, not {name}")
    frame = read(source, texts(url, model, token))
    answers: dict[str, list[Any]] = {name: [] for name in ("predictions", *include)}
    for start in range(0, len(frame), BATCH):
        part = _score(url, token, frame.iloc[start : start + BATCH], source, include)
        for name, values in part.items():
            answers[name] += values
    if to is not None:
        write(frame.assign(**_columns(answers, include)), answers["predictions"], to)
    return {"model": model, "version": number, **answers}


def _columns(answers: dict[str, list[Any]], include: Sequence[str]) -> dict[str, list[Any]]:
    """A column a value: `probabilities_yes`, `intervals_low`; a set of classes is one text."""
    columns: dict[str, list[Any]] = {}
    for name in include:
        first = answers[name][0] if answers[name] else {}
        if name == "sets":
            columns[name] = [" ".join(map(str, row)) for row in answers[name]]
        elif isinstance(first, dict):
            columns |= {f"{name}_{key}": [row[key] for row in answers[name]] for key in first}
        else:
            columns |= {f"{name}_{key}": [row[place] for row in answers[name]] for place, key in enumerate(("low", "high"))}
    return columns


def _score(url: str, token: str, rows: pd.DataFrame, source: Path, include: Sequence[str]) -> dict[str, list[Any]]:
    try:
        body = to_arrow(rows)
    except (TypeError, ValueError, NotImplementedError) as error:
        reason = ": ".join(map(str, reversed(error.args)))
        raise UserError(f"{source}: {reason}; write all values of a column alike, and each name once") from None
    headers = {"content-type": ARROW, "accept": "application/json"}
    if include:
        headers["accept"] += f";include={','.join(include)}"
    keys = ("predictions", *include)
    reply = answered(f"{url}/invocations", token, body, headers, keys=keys)
    if not all(isinstance(values, list) and len(values) == len(rows) for values in reply):
        raise _another_server(f"{url}/invocations")
    return dict(zip(keys, reply, strict=True))


def wait_ready(url: str, seconds: float) -> None:
    """Wait while nobody listens at an address, or a server there answers that its model is not loaded yet.

    Raises StoreUnreachable where nobody listens in the end; any other answer is left to whoever asks next.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            ask(f"{url}/ping")
            return
        except StoreUnreachable:
            if time.monotonic() >= end:
                raise
        except UserError as error:
            if "answers 503" not in str(error) or time.monotonic() >= end:
                return
        time.sleep(0.1)


def texts(url: str, model: str, token: str = "") -> set[str]:
    """The model's columns of text. Raises UserError."""
    address = f"{url}/v2/models/{urllib.parse.quote(str(model), safe='')}"
    (inputs,) = answered(address, token, keys=("inputs",))
    try:
        return {column["name"] for column in inputs if column["datatype"] == TEXT}
    except (KeyError, TypeError):
        raise _another_server(address) from None


def read(source: Path, texts: Collection[str] = ()) -> pd.DataFrame:
    """The rows of a .csv, .parquet or MLflow .json file; CSV has no types, so that `texts` names its columns of text.

    Raises UserError.
    """
    import pandas as pd

    try:
        if source.suffix == ".csv":
            return pd.read_csv(source, dtype=dict.fromkeys(texts, str))
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


def answered(
    url: str, token: str = "", body: bytes | None = None, headers: dict[str, str] | None = None, *, keys: tuple[str, ...]
) -> list[Any]:
    """What a server says under some keys of a JSON object. Raises UserError where it says something else."""
    try:
        content = json.loads(ask(url, token, body, headers)[0])
        return [content[key] for key in keys]
    except (ValueError, KeyError, TypeError):
        raise _another_server(url) from None


def _another_server(url: str) -> UserError:
    return UserError(f"{url}: another answer than that of mlops serve; correct --url")


def ask(url: str, token: str = "", body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[bytes, Any]:
    """A server's answer and its headers.

    Raises UserError with the server's own words where it refuses, and for an address or token that cannot be sent.
    """
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url}: an http or https address is expected")
    if not re.fullmatch(r"[ -~\xa0-\xff]*", token):
        raise UserError("the token has a character that no HTTP header holds; correct --token or MLOPS_SERVE_TOKEN")
    try:
        request = urllib.request.Request(url, body, headers or {})
        if token:
            request.add_header("authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        raise UserError(f"{url} answers {error.code}: {_message(error.read())}") from None
    except (http.client.InvalidURL, ValueError) as error:
        raise UserError(f"{url}: no address that takes requests ({error}); correct --url") from None
    except (OSError, http.client.HTTPException) as error:
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
