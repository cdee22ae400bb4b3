"""`mlops score --engine spark` beside mlflow.pyfunc.spark_udf on local[2], and on a cluster of one and of two workers: rows/s.

python -m benchmarks.spark [--rows 1000000] [--rounds 3] [--model forest logistic] [--no-cluster]

30 features, Parquet in and out, whole processes with their start and that of Java, in turn. Workers have one processor each.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.batch import MLOPS, MODELS, NAMES, model_of, project, source
from benchmarks.timing import Figure, in_turn, median, once, paired
from mlops.console import note, table

CLUSTERS = Path(__file__).resolve().parents[1] / "tests" / "scoring"
OURS, UDF = "mlops score, with probabilities", "spark_udf, labels alone"
SCRIPT = """
import sys
from pathlib import Path
import mlflow
from mlops.spark.session import session
with session("udf", Path(LOG), "local[2]") as spark:
    predict = mlflow.pyfunc.spark_udf(spark, MODEL, result_type="string", env_manager="local")
    rows = spark.read.parquet(SOURCE)
    rows.select("id", predict(*NAMES).alias("prediction")).write.mode("overwrite").parquet(TARGET)
"""


def run(root: Path, name: str, file: Path, master: str) -> Figure:
    """Score a file with the Spark engine into a folder that is not there."""
    output = root / "output" / "spark"
    subprocess.run(["rm", "-rf", str(output)], check=True)
    options = ["--engine", "spark", "--master", master]
    return once([*MLOPS, "score", name, str(file), str(output), *options], root, environment(root))


def udf(root: Path, name: str, file: Path) -> Figure:
    """Score a file with the model as MLflow's function for Spark."""
    log, output = root / "output" / "udf.log", root / "output" / "udf"
    places = {"MODEL": model_of(root, name).parent, "SOURCE": file, "TARGET": output, "LOG": log}
    text = "".join(f"{key} = {str(value)!r}\n" for key, value in places.items()) + f"NAMES = {NAMES!r}\n" + SCRIPT
    return once([sys.executable, "-W", "ignore", "-c", text], root, environment(root))


def environment(root: Path) -> dict[str, str]:
    """What the project's own code and Spark's workers need."""
    paths = os.pathsep.join(map(str, (root / "src", Path(__file__).resolve().parents[1])))
    return {"PYTHONPATH": paths, "MLOPS_PROJECT": str(root), "OMP_NUM_THREADS": "1"}


def lines_of(root: Path, name: str, file: Path, count: int, rounds: int, masters: dict[str, str]) -> list[tuple[str, ...]]:
    """Rows of the table for a model: each way and each cluster, alternating."""
    runs = {OURS: partial(run, root, name, file, "local[2]"), UDF: partial(udf, root, name, file)}
    runs |= {f"mlops score, {workers}": partial(run, root, name, file, master) for workers, master in masters.items()}
    lines, figures = [], in_turn(runs, rounds)
    for way, taken in figures.items():
        wall = median(taken)
        lines.append((name, way, f"{count / wall / 1000:,.0f}", f"{wall:.1f}", f"{paired(figures[UDF], taken):.2f} ×"))
    return lines


def main() -> None:
    """Print the figures as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", nargs="*", choices=[*MODELS], default=[*MODELS])
    parser.add_argument("--no-cluster", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as clusters:
        place = Path(folder)
        root, masters = project(place), {}
        if not options.no_cluster:
            sys.path.insert(0, str(CLUSTERS))
            from spark_cluster import cluster

            for workers, title in ((1, "one worker"), (2, "two workers")):
                (place / title).mkdir()
                masters[title] = clusters.enter_context(cluster(place / title, workers))
        file = source(place, options.rows)
        lines = [line for name in options.model for line in lines_of(root, name, file, options.rows, options.rounds, masters)]
        note(f"load of the machine: {os.getloadavg()[0]:.1f}")
        columns = ("model", "", "k rows/s", "s", "to spark_udf")
        table(f"{options.rows:,} rows × {len(NAMES)} features, Parquet in and out, Spark", columns, lines)


if __name__ == "__main__":
    main()
