"""A process that has imported everything and forks a run of iris for each line it reads; a run so begins at once.

A line is JSON: the project's folder, the overrides, and the seconds after which the run is killed, or null. The process
answers with a line when the run has ended: its exit status (negative: the signal) and the seconds that it took. Several
runs in one line go at the same time.
"""

import json
import os
import signal
import sys
import time


def go(root: str, overrides: list[str]) -> None:
    """The whole of `mlops run iris` with its exit status, in the forked process."""
    from mlops import pipeline
    from mlops.config import load_project
    from mlops.use_case import load_use_case

    os.environ["MLOPS_PROJECT"] = root
    project = load_project()
    outcome = pipeline.run(project, load_use_case(project, "iris", tuple(overrides)))
    os._exit(0 if outcome.passed else 1)


def begin(root: str, overrides: list[str]) -> int:
    """Fork a run; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        go(root, overrides)
    finally:
        import traceback

        traceback.print_exc()
        os._exit(2)


def main() -> None:
    """Warm up in the project of the first argument, then serve."""
    warm = begin_in_this_process(sys.argv[1])
    print(json.dumps(warm), flush=True)
    for line in sys.stdin:
        started = time.monotonic()
        runs = [(begin(root, overrides), after) for root, overrides, after in json.loads(line)]
        ended = []
        for pid, after in runs:
            if after is not None:
                time.sleep(max(0.0, after - (time.monotonic() - started)))
                os.kill(pid, signal.SIGKILL)
            ended.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        print(json.dumps([ended, time.monotonic() - started]), flush=True)


def begin_in_this_process(root: str) -> str:
    """Run iris once here, so that every module is loaded before the first fork."""
    from mlops import pipeline
    from mlops.config import load_project
    from mlops.use_case import load_use_case

    os.environ["MLOPS_PROJECT"] = root
    project = load_project()
    return str(pipeline.run(project, load_use_case(project, "iris")).passed)


if __name__ == "__main__":
    main()
