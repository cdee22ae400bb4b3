"""What Spark computes, without Spark: the order of its products, its words and the columns of their hashes."""

import numpy as np
import pytest

from mlops.spark.products import Products
from mlops.spark.text import HashedWords, words


def test_products_stand_in_the_order_of_spark() -> None:
    # The example in the documentation of PolynomialExpansion: (x, x * x, y, x * y, y * y).
    assert Products(degree=2).fit_transform(np.array([[2.0, 3.0]])).tolist() == [[2, 4, 3, 6, 9]]
    assert Products(degree=3).fit_transform(np.ones((1, 4))).shape == (1, 34)


def test_words_are_hashed_as_in_spark() -> None:
    # The example in the documentation of HashingTF: "a b c" in ten columns.
    assert np.flatnonzero(HashedWords(columns=10).transform(["a b c"]).toarray()).tolist() == [5, 7, 8]
    assert HashedWords(columns=10).transform(["a a"]).sum() == 2
    assert HashedWords(columns=10, binary=True).transform(["a a"]).sum() == 1


def test_texts_are_split_as_java_does() -> None:
    assert [words(text) for text in ("A b ", "", " ", "  a")] == [["a", "b"], [""], [], ["", "", "a"]]


def test_more_than_one_column_of_texts_is_refused() -> None:
    with pytest.raises(ValueError, match="one column of texts is expected, found 2: choose it with ColumnTransformer"):
        HashedWords(columns=10).transform([["a", "b"]])
