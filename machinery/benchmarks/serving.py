"""The server of a bundle against `mlflow models serve` with one worker: same models, same machine, same run.

    python -m benchmarks.serving [--seconds 4] [--model "mixed logistic"] [--json]

Needs wrk. Server and client run on different processors; the servers are measured in turn, one at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlops.console import as_json, note, table

FEATURES = 30
ARROW, JSON = "application/vnd.apache.arrow.stream", "application/json"
# The least ratios that the project asks of itself, by what is measured.
GOALS = {
    ("forest", "p50_ms"): 50,
    ("forest", "requests_s"): 150,
    ("forest", "p99_ms"): 100,
    ("forest", "rows_s_1000"): 7,
    ("logistic", "rows_s_1000"): 14,
    ("logistic", "arrow_rows_s"): 50,
    ("mixed logistic", "p50_ms"): 30,
    ("mixed logistic", "requests_s"): 80,
    ("mixed boosting", "p50_ms"): 30,
    ("mixed boosting", "requests_s"): 80,
    ("forest", "start_s"): 15,
    ("forest", "memory_mb"): 5,
}
LABELS = {
    "start_s": "start to first answer (s)",
    "memory_mb": "resident memory (MB)",
    "p50_ms": "median latency, 1 row, 1 connection (ms)",
    "three_rows_ms": "median latency, 3 rows, 1 connection (ms)",
    "requests_s": "requests/s, 1 row, 16 connections",
    "p99_ms": "99th percentile, 16 connections (ms)",
    "rows_s_1000": "rows/s, 1,000-row JSON",
    "rows_s_10000": "rows/s, 10,000-row JSON",
    "arrow_rows_s": "rows/s, 10,000 rows as Arrow (MLflow: JSON)",
}


def models() -> dict[str, tuple[Any, Any, Any]]:
    """Pipeline, 2,000 made-up rows and their labels by name: 30 numbers, and 12 numbers with 6 categories ("mixed")."""
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.datasets import make_classification
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    values, target = make_classification(2_000, FEATURES, n_informative=10, random_state=0)
    numbers = pd.DataFrame(values, columns=[f"feature_{place}" for place in range(FEATURES)])
    categories = {f"category_{place}": pd.cut(values[:, 12 + place], 5, labels=list("abcde")) for place in range(6)}
    mixed = numbers.iloc[:, :12].assign(**{name: column.astype(str) for name, column in categories.items()})
    kinds = (list(mixed.columns[:12]), list(categories))

    def encoded(encoder: Any) -> Any:
        return make_column_transformer((StandardScaler(), kinds[0]), (encoder, kinds[1]))

    one_hot, ordinal = OneHotEncoder(handle_unknown="ignore", sparse_output=False), OrdinalEncoder()
    return {
        "forest": (make_pipeline(StandardScaler(), RandomForestClassifier(100, random_state=0)), numbers, target),
        "logistic": (make_pipeline(StandardScaler(), LogisticRegression()), numbers, target),
        "mixed logistic": (make_pipeline(encoded(one_hot), LogisticRegression(max_iter=1_000)), mixed, target),
        "mixed boosting": (make_pipeline(encoded(ordinal), HistGradientBoostingClassifier(random_state=0)), mixed, target),
    }


def candidates(folder: Path) -> dict[str, Path]:
    """Candidate folders of all `models`, trained on 1,500 rows each; the rest is the holdout."""
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from skops.io import dumps, get_untrusted_types

    from mlops.bundle.build import PREDICTED

    folders = {}
    for name, (model, frame, target) in models().items():
        folders[name] = folder / name.replace(" ", "_")
        model.fit(frame[:1500], target[:1500])
        trusted = get_untrusted_types(data=dumps(model))
        signature = infer_signature(frame, model.predict(frame))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.sklearn.save_model(
                model,
                folders[name] / "model",
                signature=signature,
                serialization_format="skops",
                skops_trusted_types=trusted,
                pip_requirements=["scikit-learn"],
            )
        holdout = frame[1500:].assign(**{PREDICTED: model.predict(frame[1500:])})
        holdout.to_parquet(folders[name] / "holdout.parquet")
    return folders


@contextmanager
def server(command: list[str], port: int, env: dict[str, str], warm: bytes) -> Iterator[dict[str, float]]:
    """A server on the first processor; yields the seconds to its first answer, and its process in `pid`."""
    # MLflow starts `uvicorn` by its name.
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **env}
    pinned = ["taskset", "-c", "0", *command]
    started = time.perf_counter()
    process = subprocess.Popen(
        pinned, env=os.environ | env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while not _answers(port, warm):
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
            time.sleep(0.005)
        yield {"start_s": time.perf_counter() - started, "pid": process.pid}
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _answers(port: int, body: bytes) -> bool:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"content-type": JSON})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def memory(pid: int) -> float:
    """Resident memory in MB of a process and all below it."""
    total = 0
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        try:
            waiting += [int(child) for child in Path(f"/proc/{current}/task/{current}/children").read_text().split()]
            status = Path(f"/proc/{current}/status").read_text()
        except FileNotFoundError:
            continue
        total += int((re.search(r"VmRSS:\s+(\d+)", status) or [0, 0])[1])
    return total / 1000


def wrk(port: int, body: bytes, content_type: str, connections: int, seconds: float, place: Path) -> dict[str, float]:
    """Requests/s, median and 99th percentile (ms) by wrk on the second processor. Raises RuntimeError for refused requests."""
    (place / "body").write_bytes(body)
    script = place / "post.lua"
    script.write_text(
        f'local file = io.open("{place}/body", "rb")\nwrk.method = "POST"\nwrk.body = file:read("*a")\n'
        f'wrk.headers["content-type"] = "{content_type}"\n'
    )
    length = f"-d{max(1, round(seconds))}s"  # wrk takes whole seconds
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", length, "--timeout", "20s", "--latency"]
    output = subprocess.run(
        [*command, "-s", str(script), f"http://127.0.0.1:{port}/invocations"], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in output:
        raise RuntimeError(output)
    latencies = {name: re.search(rf"{name}%\s+([\d.]+)(us|ms|s)\b", output) for name in ("50", "99")}
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    times = {name: float(match[1]) * scale[match[2]] for name, match in latencies.items() if match}
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    return {"requests_s": float(rate[1]) if rate else 0.0, "p50": times["50"], "p99": times["99"]}


def measure(
    command: list[str], port: int, env: dict[str, str], rows: dict[int, bytes], arrow: bytes | None, seconds: float
) -> Any:
    """All figures of one server."""
    with tempfile.TemporaryDirectory() as temporary, server(command, port, env, rows[1]) as state:
        place = Path(temporary)
        wrk(port, rows[1], JSON, 4, 1, place)
        alone = wrk(port, rows[1], JSON, 1, seconds, place)
        crowd = wrk(port, rows[1], JSON, 16, seconds, place)
        figures = {
            "start_s": state["start_s"],
            "p50_ms": alone["p50"],
            "three_rows_ms": wrk(port, rows[3], JSON, 1, seconds / 2, place)["p50"],
            "requests_s": crowd["requests_s"],
            "p99_ms": crowd["p99"],
            "memory_mb": memory(int(state["pid"])),
            "rows_s_1000": 1_000 * wrk(port, rows[1_000], JSON, 1, seconds, place)["requests_s"],
            "rows_s_10000": 10_000 * wrk(port, rows[10_000], JSON, 1, seconds, place)["requests_s"],
        }
        batch = 10_000 * wrk(port, arrow, ARROW, 1, seconds, place)["requests_s"] if arrow else figures["rows_s_10000"]
        return figures | {"arrow_rows_s": batch}


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def compare(seconds: float, chosen: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Figures by model and server: mlflow, onnx and skops, of all `models` or of those that are chosen."""
    import pandas as pd

    from mlops.bundle.build import PREDICTED, build
    from mlops.scoring.client import to_arrow

    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name, folder in candidates(Path(temporary)).items():
            if chosen and name not in chosen:
                continue
            frame = pd.read_parquet(folder / "holdout.parquet").drop(columns=PREDICTED)
            frame = pd.concat([frame] * 20, ignore_index=True)
            split = {count: frame[:count].to_dict("split") for count in (1, 3, 1_000, 10_000)}
            rows = {count: json.dumps({"dataframe_split": _part(content)}).encode() for count, content in split.items()}
            port = free_port()
            theirs = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder / "model"), "--env-manager", "local"]
            note(f"{name}: mlflow models serve")
            results[name] = {"mlflow": measure([*theirs, "-p", str(port), "-w", "1"], port, {}, rows, None, seconds)}
            for form in ("onnx", "skops"):
                note(f"{name}: {form} bundle")
                bundle = build(folder, folder / form, name, {"number": "1.0.0"}, form=form)
                ours = [sys.executable, "-m", "mlops.serving.run", str(bundle.folder)]
                port = free_port()
                env = {"MLOPS_SERVE_PORT": str(port)}
                results[name][form] = measure(ours, port, env, rows, to_arrow(frame[:10_000]), seconds)
    return results


def _part(content: dict[str, Any]) -> dict[str, Any]:
    return {"columns": content["columns"], "data": content["data"]}


def ratio(what: str, theirs: float, ours: float) -> float:
    """How many times better ours is."""
    return ours / theirs if what.endswith("_s") and what != "start_s" or what.startswith("rows_s") else theirs / ours


def show(results: dict[str, dict[str, Any]]) -> None:
    """One table a model, with the ratio to MLflow and the goal."""
    for model, servers in results.items():
        lines = []
        for what, label in LABELS.items():
            theirs, ours = servers["mlflow"][what], servers["onnx"][what]
            goal = GOALS.get((model, what))
            times = ratio(what, theirs, ours)
            verdict = "" if goal is None else f"≥ {goal} ×, {'reached' if times >= goal else 'missed'}"
            lines.append([label, *(f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" for value in _cells(servers, what))])
            lines[-1] += [f"{times:.1f} ×", verdict]
        table(model, ["", "mlflow models serve", "ONNX bundle", "skops bundle", "ONNX against MLflow", "goal"], lines)
    if "logistic" not in results:
        return
    own = results["logistic"]["onnx"]["three_rows_ms"]
    note(f"3 rows, logistic, scaling and model in one call: {own:.2f} ms; the source's figure: 15.2 ms")


def _cells(servers: dict[str, Any], what: str) -> list[float]:
    return [servers[name][what] for name in ("mlflow", "onnx", "skops")]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="length of each measurement")
    parser.add_argument("--model", action="append", choices=models(), help="one of the models alone; may be repeated")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    if not shutil.which("wrk") or not shutil.which("taskset"):
        sys.exit("wrk and taskset are needed (Debian: apt-get install wrk util-linux)")
    results = compare(arguments.seconds, arguments.model or ())
    as_json(results) if arguments.json else show(results)


if __name__ == "__main__":
    main()
