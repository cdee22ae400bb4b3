"""`load` and `features` of a use case on frames of Spark (`data.engine: spark`): rows go in and come out as pandas' do."""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from mlops.errors import UserError
from mlops.spark import session

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame, SparkSession

# A session takes seconds to start, and training calls a stage several times: it ends with this process.
_kept = contextlib.ExitStack()
atexit.register(_kept.close)


def on_spark(
    name: str, key: Sequence[str], function: Callable[[DataFrame], DataFrame]
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A stage of a use case, which takes and returns frames of Spark, as a function of frames of pandas.

    Spark keeps no order of rows: those that come back are sorted by the key, where they have it. The function raises UserError
    where pyspark or Java is missing, Spark fails, or the stage returns anything but a frame of Spark.
    """

    @wraps(function)
    def stage(rows: pd.DataFrame) -> pd.DataFrame:
        place = f"src/use_cases/{name}: {function.__name__}"
        with _session() as spark:
            result: Any = function(spark.createDataFrame(rows))
            if not hasattr(result, "toPandas"):
                raise UserError(
                    f"{place} returns {type(result).__name__}, not a frame of Spark, and config/{name}.yaml says "
                    "data.engine: spark; return one, or leave the key out"
                )
            known = [column for column in key if column in result.columns]
            made: pd.DataFrame = result.toPandas()
        return made.sort_values(known, kind="stable", ignore_index=True) if known else made

    return stage


@contextlib.contextmanager
def _session() -> Iterator[SparkSession]:
    """The session of this process, for which an error of Spark is one of the user."""
    log = session.own_log()
    if not session.is_running():
        _kept.enter_context(session.session("stages", log))
    with session.session("stages", log) as spark:
        yield spark
