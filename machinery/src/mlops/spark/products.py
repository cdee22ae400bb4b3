"""Products of columns in the order of Spark's PolynomialExpansion."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin


class Products(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """All products of columns up to a degree; `terms_` has the columns of each."""

    def __init__(self, degree: int = 2) -> None:
        self.degree = degree

    def fit(self, X: Any, y: Any = None) -> Products:
        """Only the number of columns is learnt."""
        self.n_features_in_ = np.asarray(X).shape[1]
        self.terms_ = [term for term in terms(self.n_features_in_, self.degree) if term]
        return self

    def transform(self, X: Any) -> Any:
        """The products, [rows, terms]."""
        columns = np.asarray(X, dtype=np.float64)
        return np.column_stack([columns[:, term].prod(axis=1) for term in self.terms_])


def terms(width: int, degree: int) -> list[list[int]]:
    """The columns of each product, as PolynomialExpansion.expandDense orders them: by the power of the last column first."""
    if width == 0:
        return [[]]
    return [[*before, *[width - 1] * power] for power in range(degree + 1) for before in terms(width - 1, degree - power)]
