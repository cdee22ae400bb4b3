"""Texts as Spark's Tokenizer and HashingTF see them: words counted in columns that a hash chooses."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

__all__ = ["HashedWords", "words"]

# The seed of org.apache.spark.ml.feature.HashingTF, whose hash is murmur3_x86_32 of a word's UTF-8.
SEED = 42
# What Java's regular expression \\s matches.
SPACE = re.compile("[ \t\n\x0b\f\r]")


class HashedWords(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Counts of words as Tokenizer → HashingTF gives them; a column of texts in, a sparse matrix out.

    columns: how many there are. binary: 1 for a word that is there, however often.
    """

    def __init__(self, columns: int = 2**18, binary: bool = False) -> None:
        self.columns = columns
        self.binary = binary

    def fit(self, texts: Any, y: Any = None) -> HashedWords:
        """Nothing is learnt."""
        self.n_features_in_ = 1
        return self

    def transform(self, texts: Any) -> Any:
        """The counts, [rows, columns]. Raises ValueError for more than one column."""
        from scipy.sparse import csr_matrix

        given = np.asarray(texts, dtype=object)
        refuse_several(given)
        places = [self._places(str(text)) for text in given.ravel()]
        ends = np.cumsum([0, *map(len, places)])
        flat = np.concatenate([np.array(row, dtype=np.int64) for row in places]) if places else np.empty(0, np.int64)
        counts = csr_matrix((np.ones(len(flat)), flat, ends), shape=(len(places), self.columns))
        counts.sum_duplicates()
        if self.binary:
            counts.data[:] = 1
        return counts

    def _places(self, text: str) -> list[int]:
        from sklearn.utils import murmurhash3_32

        return [murmurhash3_32(word.encode(), SEED) % self.columns for word in words(text)]


def refuse_several(rows: np.ndarray) -> None:
    """Raise ValueError for rows of more than one column."""
    if rows.ndim > 1 and rows.shape[1] != 1:
        raise ValueError(f"one column of texts is expected, found {rows.shape[1]}: choose it with ColumnTransformer")


def words(text: str) -> list[str]:
    """The words of a text as Java's String.split gives them: empty ones at the end do not count, a text of none is one."""
    parts = SPACE.split(text.lower())
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return [] if parts == [""] and text else parts
