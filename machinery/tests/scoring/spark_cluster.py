"""A cluster of Spark on this machine: a master and workers of one processor each, processes of their own."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyspark

CLASS = Path(pyspark.__file__).parent / "bin" / "spark-class"
DEPLOY = "org.apache.spark.deploy"
PATIENCE = 240  # seconds


@contextmanager
def cluster(folder: Path, workers: int = 2) -> Iterator[str]:
    """A master and workers on 127.0.0.1; gives the master's URL. All of their processes end with it."""
    running: list[subprocess.Popen[bytes]] = []
    # Workers start Python where this says, as on a cluster on which every machine has the same environment.
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}

    def start(name: str, *arguments: str) -> str:
        log = folder / f"{name}.log"
        options = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        with log.open("wb") as stream:
            command = [str(CLASS), *arguments[:1], *options, *arguments[1:]]
            running.append(subprocess.Popen(command, stdout=stream, stderr=stream, env=environment))
        return waited(log, r"(?:Starting Spark master at|Successfully registered with master) (spark://\S+)")

    try:
        master = start("master", f"{DEPLOY}.master.Master")
        for number in range(workers):
            work = folder / f"work{number}"
            start(
                f"worker{number}", f"{DEPLOY}.worker.Worker", "--cores", "1", "--memory", "1g", "--work-dir", str(work), master
            )
        yield master
    finally:
        for process in running:
            for child in [*psutil.Process(process.pid).children(recursive=True), process]:
                child.kill()
        for process in running:
            process.wait()


def waited(log: Path, pattern: str) -> str:
    """What the first group of a pattern matches in a log, as soon as it does."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if match := re.search(pattern, log.read_text(errors="replace")):
            return match[1]
        time.sleep(0.1)
    raise TimeoutError(f"{pattern} in {log}: {log.read_text(errors='replace')[-2000:]}")


def executors(of: psutil.Process) -> list[psutil.Process]:
    """The executors that workers below a process have started."""
    return [child for child in of.children(recursive=True) if "CoarseGrainedExecutorBackend" in command_of(child)]


def command_of(process: psutil.Process) -> str:
    """The command line of a process; empty for one that has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
