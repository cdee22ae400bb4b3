"""The script that spark-submit takes: what it needs is named in one line."""

import os
import subprocess
import sys
from pathlib import Path

from mlops.scoring.spark_package import DRIVER, SCRIPT


def test_a_driver_that_knows_no_store_names_both_variables(tmp_path: Path) -> None:
    (tmp_path / SCRIPT).write_text(DRIVER, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_", "MLFLOW_"))}
    command = [sys.executable, SCRIPT, "churn", "in", "scored"]
    done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "set MLOPS_PROJECT to the folder of the project, or MLFLOW_TRACKING_URI" in done.stderr
