"""Identifiers of 64 bits find their own label: 2**60 and 2**60 + 1 are the same float64."""

import pandas as pd
import pytest

from mlops.config import Project
from mlops.monitoring.labels import Labels, join
from mlops.use_case import load_use_case

BIG = 2**60


@pytest.mark.parametrize("logged", [[BIG + 1, BIG, 7], [str(BIG + 1), str(BIG), "7"], [BIG + 1, BIG, 7.0]])
def test_neighbouring_identifiers_are_distinguished(project: Project, logged: list) -> None:
    use_case = load_use_case(project, "iris")
    outcomes = pd.DataFrame({"flower": [BIG, BIG + 1, 7], "species": ["setosa", "virginica", "versicolor"]})
    dtype = object if any(isinstance(value, str | float) for value in logged) else "int64"
    table = pd.DataFrame({"flower": pd.Series(logged, dtype=dtype), "__prediction__": "setosa"})
    joined = join(project, use_case, Labels("own", outcomes), table, {"flower": "long"})
    assert joined["__truth__"].tolist() == ["virginica", "setosa", "versicolor"]
