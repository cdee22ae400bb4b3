"""A session of Spark: the one that is there already, else one on this machine or on the cluster that MLOPS_SPARK_MASTER names.

What the Java process writes goes to a log file; a user gets one line.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import files
from mlops.errors import UserError, first_line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MASTER = "MLOPS_SPARK_MASTER"
# On one machine, a task that fails is tried again as often as on a cluster: Spark's own default is once.
LOCAL, ATTEMPTS = "local[*]", 4
SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}


def own_log() -> Path:
    """Where the Java process writes that serves no command with a log of its own."""
    return Path(tempfile.gettempdir()) / f"mlops-spark-{os.getuid()}.log"


def is_running() -> bool:
    """Whether a session is there already; False without pyspark."""
    sql = sys.modules.get("pyspark.sql")
    return sql is not None and sql.SparkSession.getActiveSession() is not None


@contextmanager
def session(name: str, log: Path, master: str = "") -> Iterator[SparkSession]:
    """A session for an application; one that was there already, as in spark-submit or a notebook, is left as it is.

    master: URL of a cluster; empty is the setting of spark-submit, MLOPS_SPARK_MASTER, or all processors of this machine.

    Raises UserError where pyspark or Java is missing, and where Spark fails.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise UserError("Spark is not installed: run make spark; it needs Java 17 or newer") from None
    from py4j.protocol import Py4JError

    present = SparkSession.getActiveSession()
    try:
        spark = present or _started(name, log, master)
        try:
            yield spark
        finally:
            if present is None:
                _stop(spark)
    except (PySparkException, Py4JError, ConnectionError) as error:
        raise UserError(f"Spark failed: {_reason(error)}; its log is {log}") from error


def _stop(spark: SparkSession) -> None:
    """End a session; one whose Java process has ended is let go of, so that a reason of before is what a user gets."""
    from py4j.protocol import Py4JError

    with suppress(Py4JError, OSError):
        spark.stop()


def _started(name: str, log: Path, master: str) -> SparkSession:
    """A new session, whose Java process writes to the log."""
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    # Without it, workers take whatever python3 is on their path.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = SparkConf().setAppName(name)
    for key, value in SETTINGS.items():
        settings.setIfMissing(key, value)
    if submitted := "PYSPARK_GATEWAY_PORT" in os.environ:  # spark-submit has settled where it runs
        settings.setIfMissing("spark.master", LOCAL)
    else:
        settings.setMaster(_with_attempts(master or os.environ.get(MASTER) or LOCAL))
    if settings.get("spark.master", "").startswith("local"):
        settings.setIfMissing("spark.driver.bindAddress", "127.0.0.1")
        settings.setIfMissing("spark.driver.host", "127.0.0.1")
    if SparkContext._gateway is None and not submitted:
        files.make_folder(log.parent)
        with log.open("wb") as stream:
            gateway: Any = launch_gateway(settings, {"stdout": stream, "stderr": stream})
        SparkContext(conf=settings, gateway=gateway)
    spark = SparkSession.builder.config(conf=settings).getOrCreate()
    _quieten(getattr(spark.sparkContext, "_accumulatorServer", None))
    return spark


def _quieten(server: Any) -> None:
    """Keep a user's one line from being lost in what others print of the same error.

    py4j and the server of accumulators print a traceback where the Java process has ended, PySpark a query's trace as JSON.
    """
    from pyspark.logger import PySparkLogger

    logging.getLogger().addFilter(_is_news)  # py4j logs to the root; a second session adds nothing
    PySparkLogger.getLogger("DataFrameQueryContextLogger").disabled = True
    if server is None:
        return
    usual = server.handle_error

    def handle_error(request: Any, client: Any) -> None:
        if not isinstance(sys.exc_info()[1], (EOFError, ConnectionError)):
            usual(request, client)

    server.handle_error = handle_error


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of a log tells more than that the Java process has ended."""
    from py4j.protocol import Py4JError

    return not (record.exc_info and isinstance(record.exc_info[1], (Py4JError, ConnectionError, EOFError)))


def _with_attempts(master: str) -> str:
    """A master of this machine that tries a task again; another one as it is."""
    is_local = master == "local" or (master.startswith("local[") and "," not in master)
    processors = master.removeprefix("local").strip("[]") or "1"
    return f"local[{processors},{ATTEMPTS}]" if is_local else master


def _reason(error: Exception) -> str:
    """What went wrong, in one line."""
    message, cause = str(error), getattr(error, "java_exception", None)
    if "JAVA_GATEWAY_EXITED" in message:
        return "it needs Java 17 or newer: install it, or set JAVA_HOME"
    if isinstance(error, ConnectionError) or type(error).__name__ == "Py4JNetworkError":
        return "its Java process has ended, maybe for want of memory; run the same command again, with a smaller --part-rows"
    if "Cannot call methods on a stopped SparkContext" in message:
        return "the cluster does not answer or has ended the application; correct --master or MLOPS_SPARK_MASTER, or try again"
    if type(error).__name__ == "PythonException":
        return _reason_of_worker(message)[:200]
    return first_line(Exception(str(cause)) if cause is not None else error)[:200]


def _reason_of_worker(message: str) -> str:
    """What ended the Python of a worker: the last line of its traceback, which begins with the name of an error."""
    lines = [line for line in message.splitlines() if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Warning|Exit)\b", line)]
    reason = lines[-1] if lines else first_line(Exception(message))
    if reason.startswith("ModuleNotFoundError: "):
        return (
            f"the Python of a worker has {reason.removeprefix('ModuleNotFoundError: ').replace('No', 'no', 1)}; "
            "name one with the packages of requirements/base.txt by PYSPARK_PYTHON"
        )
    return f"a worker ended with {reason}"
