"""`mlops score` beside pandas with mlflow.pyfunc, and DuckDB and Polars that feed the same model: rows/s, memory.

python -m benchmarks.batch [--rows 1000000] [--rounds 3] [--target FOLDER] [--memory 1000000 10000000 --picture FILE]

30 features, Parquet in and out, a forest of 100 trees and logistic regression. DuckDB and Polars are taken from --target,
where `uv pip install --target FOLDER duckdb polars` has put them; without, they are left out. `--memory` prints the peak of
memory for each number of rows, and draws it into `--picture`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.batch_memory import Line, draw
from benchmarks.timing import Figure, in_turn, median, once, paired
from mlops.console import note, table

ROOT = Path(__file__).resolve().parents[2]
MLOPS = [sys.executable, "-m", "mlops"]
NAMES = [f"x{number:02d}" for number in range(30)]
MODELS = {
    "forest": "RandomForestClassifier(n_estimators=100, random_state=seed)",
    "logistic": "LogisticRegression(max_iter=1000, random_state=seed)",
}
CODE = '''"""A use case of the benchmark."""

import numpy as np
import pandas as pd
from pandera.pandas import Column, DataFrameSchema
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

NAMES = [f"x{{number:02d}}" for number in range(30)]


def load(raw: pd.DataFrame) -> pd.DataFrame:
    return raw[["id", *NAMES, "y"]]


def schema(stage: str) -> DataFrameSchema:
    return DataFrameSchema({{"id": Column(int), **{{name: Column(float) for name in NAMES}}, "y": Column(str)}})


def features(rows: pd.DataFrame) -> pd.DataFrame:
    return rows


def build(seed: int):
    return {model}


def baseline(train: pd.DataFrame, holdout: pd.DataFrame) -> np.ndarray:
    return np.full(len(holdout), train["y"].mode()[0], dtype=object)
'''
CONFIG = """description: A benchmark
task: classification
target: {column: y}
key: [id]
split: {method: hash, holdout: 0.3}
metrics:
  accuracy: {direction: higher, primary: true}
bootstrap: {resamples: 100}
"""
# What the others run: read, predict, write; each in a process of its own.
SCRIPTS = {
    "pandas + pyfunc": """
import pandas, mlflow
model = mlflow.pyfunc.load_model(MODEL)
rows = pandas.read_parquet(SOURCE)
pandas.DataFrame({"id": rows["id"], "prediction": model.predict(rows[NAMES])}).to_parquet(TARGET, index=False)
""",
    "Polars": """
import polars, mlflow
model = mlflow.sklearn.load_model(MODEL)
rows = polars.read_parquet(SOURCE)
answers = model.predict(rows.select(NAMES).to_pandas())
rows.select("id").with_columns(polars.Series("prediction", answers.astype(str))).write_parquet(TARGET)
""",
    "DuckDB": """
import duckdb, mlflow, pyarrow
from pyarrow import parquet
model = mlflow.sklearn.load_model(MODEL)
schema = pyarrow.schema({"id": pyarrow.int64(), "prediction": pyarrow.string()})
with parquet.ParquetWriter(TARGET, schema) as writer:
    for batch in duckdb.sql(f"SELECT * FROM '{SOURCE}'").fetch_record_batch(100_000):
        answers = model.predict(batch.select(NAMES).to_pandas())
        writer.write_batch(pyarrow.record_batch([batch["id"], answers.astype(str)], schema=schema))
""",
}


def project(place: Path) -> Path:
    """A clone whose store has the two models."""
    root = place / "project"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(root)], check=True)
    chance = np.random.default_rng(0)
    values = chance.normal(size=(5_000, len(NAMES)))
    labels = np.where(values[:, :6].sum(axis=1) + chance.normal(size=5_000) > 0, "yes", "no")
    lines = [",".join(["id", *NAMES, "y"])]
    lines += [",".join([str(row), *(f"{value:.4f}" for value in values[row]), labels[row]]) for row in range(5_000)]
    for name, model in MODELS.items():
        for file, text in (
            (f"src/use_cases/{name}/__init__.py", CODE.format(model=model)),
            (f"config/{name}.yaml", CONFIG),
            (f"data/raw/{name}/rows.csv", "\n".join(lines) + "\n"),
        ):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(text, encoding="utf-8")
        env = {"PYTHONPATH": str(root / "src"), "MLOPS_PROJECT": str(root)}
        once([*MLOPS, "run", name], root, env)
    return root


def source(place: Path, count: int) -> Path:
    """A file of Parquet with so many rows, written in row groups of 100,000."""
    import pyarrow
    from pyarrow import parquet

    file = place / f"rows-{count}.parquet"
    schema = pyarrow.schema({"id": pyarrow.int64(), **dict.fromkeys(NAMES, pyarrow.float64())})
    chance = np.random.default_rng(1)
    with parquet.ParquetWriter(file, schema, compression="snappy") as writer:
        for start in range(0, count, 100_000):
            size = min(100_000, count - start)
            columns = [np.arange(start, start + size), *chance.normal(size=(len(NAMES), size)).round(4)]
            writer.write_table(pyarrow.table(dict(zip(schema.names, columns, strict=True)), schema=schema))
    return file


def run(root: Path, name: str, file: Path, output: Path) -> Figure:
    """Score a file with `mlops score` into a folder that is not there."""
    subprocess.run(["rm", "-rf", str(output)], check=True)
    env = {"PYTHONPATH": str(root / "src"), "MLOPS_PROJECT": str(root)}
    return once([*MLOPS, "score", name, str(file), str(output)], root, env)


def other(root: Path, name: str, script: str, file: Path, output: Path, target: str) -> Figure:
    """Score a file with one of the others."""
    model = next((root / "models").rglob(f"{name}/**/MLmodel"), None) or model_of(root, name)
    values = {"MODEL": str(model.parent), "SOURCE": str(file), "TARGET": str(output), "NAMES": NAMES}
    text = "".join(f"{key} = {value!r}\n" for key, value in values.items()) + script
    paths = os.pathsep.join(filter(None, (target, str(root / "src"))))
    return once([sys.executable, "-W", "ignore", "-c", text], root, {"PYTHONPATH": paths})


def model_of(root: Path, name: str) -> Path:
    """The file MLmodel of the only version of a use case, brought from the store."""
    folder = root / "output" / "benchmark" / name
    if not (folder / "model" / "MLmodel").is_file():
        script = (
            "from pathlib import Path\nfrom mlops.config import load_project\nfrom mlops.registry import versions\n"
            f"project = load_project()\nfolder = Path({str(folder)!r})\nfolder.mkdir(parents=True, exist_ok=True)\n"
            f"candidate = versions.fetch(project, versions.resolve(project, {name!r}, None), folder)\n"
            "(folder / 'model').symlink_to(candidate.path / 'model')"
        )
        once([sys.executable, "-c", script], root, {"MLOPS_PROJECT": str(root)})
    return folder / "model" / "MLmodel"


def compare(root: Path, file: Path, count: int, rounds: int, target: str) -> list[tuple[str, ...]]:
    """Rows of the table: each tool with each model, alternating."""
    lines = []
    scripts = {tool: script for tool, script in SCRIPTS.items() if target or tool == "pandas + pyfunc"}
    for name in MODELS:
        runs = {"mlops score": lambda name=name: run(root, name, file, root / "output" / "scored")}
        for tool, script in scripts.items():
            runs[tool] = lambda name=name, script=script: other(
                root, name, script, file, root / "output" / "other.parquet", target
            )
        figures = in_turn(runs, rounds)
        for tool, taken in figures.items():
            wall, cpu = median(taken), median(taken, "cpu")
            ratio = paired(figures["pandas + pyfunc"], taken)
            memory = f"{max(figure.memory for figure in taken):,.0f}"
            lines.append((name, tool, f"{count / wall / 1000:,.0f}", f"{wall:.1f}", f"{cpu:.1f}", memory, f"{ratio:.2f} ×"))
    return lines


def memory(place: Path, root: Path, counts: list[int], whole: int, picture: Path | None) -> None:
    """Print the peaks of memory for each number of rows, and draw them; pandas is asked up to `whole` rows."""
    peaks: dict[str, dict[int, float]] = {}
    for count in counts:
        file, output = source(place, count), root / "output" / "scored"
        peaks.setdefault("the file", {})[count] = file.stat().st_size / 2**20
        runs = {name: (lambda name=name: run(root, name, file, output)) for name in MODELS}
        if count <= whole:
            script = SCRIPTS["pandas + pyfunc"]
            runs["pandas"] = lambda: other(root, "logistic", script, file, root / "output" / "other.parquet", "")
        for name, measure in runs.items():
            figure = measure()
            peaks.setdefault(name, {})[count] = figure.memory
            note(f"{name}, {count:,} rows: {figure.memory:,.0f} MB, {figure.wall:.1f} s, processor {figure.cpu:.1f} s")
        file.unlink()
    if picture:
        kinds = {"forest": "a", "logistic": "b"}
        draw([Line(name, kinds.get(name, "c"), mb) for name, mb in peaks.items()], picture)


def main() -> None:
    """Print the figures as tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--target", default="")
    parser.add_argument("--memory", type=int, nargs="*", default=[])
    parser.add_argument("--pandas", type=int, default=10_000_000, help="rows up to which its memory is measured too")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        root = project(place)
        if options.rounds:
            lines = compare(root, source(place, options.rows), options.rows, options.rounds, options.target)
            note(f"load of the machine: {os.getloadavg()[0]:.1f}")
            columns = ("model", "", "k rows/s", "s", "processor s", "MB", "to pandas + pyfunc")
            table(f"{options.rows:,} rows × {len(NAMES)} features, Parquet in and out", columns, lines)
        memory(place, root, options.memory, options.pandas, options.picture)


if __name__ == "__main__":
    main()
