"""A project as a reader of `mlops docs projects` makes one: from the wheel alone, with an environment of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from thin_projects import committed

from mlops.project import shipped
from mlops.project.wheel import Wheel

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
TRAINED = ("customers", "iris", "messages", "points", "ridership", "taxi")


def run(folder: Path, *command: str) -> str:
    """What a command prints, in a shell that knows nothing of the machinery of this tree."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_", "MLFLOW_", "PYTHON", "VIRTUAL_"))
    }
    done = subprocess.run(command, cwd=folder, env=kept | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
    return done.stdout


def test_all_use_cases_train_and_their_files_pass_lint_in_a_project_from_the_wheel(first: Wheel, tmp_path: Path) -> None:
    (tmp_path / first.name).write_bytes(first.content)
    uv = str(Path(sys.executable).with_name("uv"))
    run(tmp_path, uv, "tool", "run", "--from", f"./{first.name}", "mlops", "new", "city-models", "--defaults")
    root = tmp_path / "city-models"
    (tmp_path / first.name).unlink()
    run(root, "git", "init", "--quiet", "--initial-branch=main")
    committed(root, "First commit")
    run(root, "make", "run", f"PYTHON={sys.executable}")
    mlops = str(root / ".venv/bin/mlops")
    present = {file.stem for file in (root / "config").glob("*.yaml")}
    for name in sorted(set(shipped.examples()) - present):
        run(root, mlops, "add", name, "--like", name)
    committed(root, "All use cases")
    before = os.times()
    results = json.loads(run(root, mlops, "run", "--all", "--json"))
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{len(results)} use cases: {spent:.1f} s of a processor")
    assert {item["use_case"]: item["number"] for item in results if item["passed"]} == dict.fromkeys(TRAINED, "1.0.0")
    assert [item["use_case"] for item in results if item["verdict"]["expected"]] == ["stocks"]
    assert not run(root, "git", "status", "--porcelain")
    run(root, "make", "lint", "docs", f"PYTHON={sys.executable}")
