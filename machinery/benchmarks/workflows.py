"""Seconds per job of the workflow for pull requests, run offline on this machine: one Python, warm caches; billed minutes.

    python -m benchmarks.workflows [--json] [--runs 2]
    python -m benchmarks.workflow_minutes                 the billed minutes of each event alone, in a second

The repository is made from this tree with all of its use cases; the change touches one of them. The first run warms the
caches and is not counted. It is the machinery of the tests that runs it, so that the figure is of the tested workflow.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
from pathlib import Path

TREE = Path(__file__).parents[1]
sys.path.insert(0, str(TREE / "tests" / "workflows"))


def measure(runs: int) -> dict[str, float]:
    """Return job → median seconds, and "all" for the whole run by the clock on the wall; raise SystemExit if a run fails."""
    import events
    import offline
    from fake_github import serve

    use_cases = tuple(sorted(file.stem for file in (offline.TREE / "config").glob("*.yaml") if file.stem != "project"))
    with tempfile.TemporaryDirectory(prefix="workflows-") as folder, serve() as api:
        project = offline.make(Path(folder), api.url, use_cases=use_cases)
        offline.git(project.root, "push", "--quiet", "origin", "main:dev")
        offline.git(project.root, "fetch", "--quiet", "origin")
        text = (project.root / "config" / "iris.yaml").read_text(encoding="utf-8")
        changed = re.sub(r"regularisation: [\d.]+", "regularisation: 0.9", text, count=1)
        head = project.commit("One use case", "feature/x", "origin/dev", {"config/iris.yaml": changed})
        payload = events.pull_request("feature/x", "dev", head, offline.git(project.root, "rev-parse", "origin/dev"))
        durations: list[dict[str, float]] = []
        for _ in range(runs + 1):
            project.forget_artifacts()
            run = project.run("pull-request.yml", "pull_request", payload)
            if run.names("failure"):
                raise SystemExit(f"the workflow failed in {', '.join(run.names('failure'))}:\n{run.log[-3000:]}")
            durations.append(run.seconds)
    return {job: round(statistics.median(seconds[job] for seconds in durations[1:]), 1) for job in durations[-1]}


def main() -> None:
    """Print the figures."""
    from benchmarks import workflow_minutes
    from mlops.console import as_json, table

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--runs", type=int, default=2, help="how many runs are counted")
    arguments = parser.parse_args()
    durations = measure(arguments.runs)
    if arguments.json:
        as_json(durations)
    else:
        workflow_minutes.show(workflow_minutes.OWN["tests"])
        table("Workflow for pull requests, seconds", ("job", "seconds"), sorted(durations.items(), key=lambda row: row[1]))


if __name__ == "__main__":
    main()
