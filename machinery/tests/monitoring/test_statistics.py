"""The statistics: values computed by hand, and what holds for any data."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.monitoring import statistics

PAIRS = st.integers(2, 12).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(0, 1000), min_size=size, max_size=size).filter(sum)] * 2)
)
NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=60)


def test_psi_by_hand() -> None:
    # Shares with half a row added: (9.5, 0.5) / 10 and (4.5, 5.5) / 10.
    expected = (0.45 - 0.95) * math.log(0.45 / 0.95) + (0.55 - 0.05) * math.log(0.55 / 0.05)
    assert statistics.psi([9, 0], [4, 5]) == pytest.approx(expected, rel=1e-12)


def test_psi_of_a_shift_is_its_square_in_standard_deviations() -> None:
    # For two normal distributions that differ by d standard deviations the divergence is d²; ten bins see most of it.
    random = np.random.default_rng(0)
    before, now = random.normal(size=200_000), random.normal(0.5, size=200_000)
    edges = statistics.bin_edges(before, len(now))
    counts = [statistics.bin_counts(values, edges) for values in (before, now)]
    assert statistics.psi(*counts) == pytest.approx(0.25, abs=0.02)


def test_ks_by_hand() -> None:
    # At 2 three quarters of one lie at or below, of the other a quarter.
    distance, _ = statistics.ks(np.array([0.0, 1, 2, 9]), np.array([2.0, 3, 4, 10]), rows=4)
    assert distance == 0.5


def test_jensen_shannon_by_hand() -> None:
    # (1, 0) and (1/2, 1/2), mean (3/4, 1/4): half of 1·log2(4/3) and half of 1/2·log2(2/3) + 1/2·log2(2).
    divergence = (math.log2(4 / 3) + 0.5 * math.log2(2 / 3) + 0.5) / 2
    assert statistics.jensen_shannon([10, 0], [5, 5]) == pytest.approx(math.sqrt(divergence), rel=1e-12)
    assert statistics.jensen_shannon([7, 0], [0, 3]) == 1


def test_shift_by_hand() -> None:
    assert statistics.shift(np.array([0.0, 2]), np.array([3.0, 5]), deviation=1.5) == 2
    assert statistics.shift(np.array([1.0, 1]), np.array([3.0, 5]), deviation=0) is None


def test_chi_square_by_hand() -> None:
    # Expected counts 15 and 15 of 20 and 20: chi² = 4 × (5² / 10) … = 10 for (15, 5) against (5, 15); p of chi²(1) = 0.00157.
    assert statistics.chi_square_chance([15, 5], [5, 15]) == pytest.approx(0.0015654, rel=1e-4)
    assert statistics.chi_square_chance([20, 0], [20, 0]) == 1


def test_rise_by_hand() -> None:
    # All 3 of 3 against 0 of 3: one of the 20 ways to choose three of six.
    assert statistics.rise_chance(3, 3, 0, 3) == pytest.approx(1 / 20)
    assert statistics.rise_chance(0, 3, 3, 3) == 1


def test_a_value_on_an_edge_belongs_to_the_bin_below() -> None:
    edges = np.array([1.0, 2.0])
    assert statistics.bin_counts(np.array([1.0, 1.5, 2.0, 2.5]), edges).tolist() == [1, 2, 1]


def test_bins_are_fewer_where_rows_or_values_are_few() -> None:
    values = np.arange(1000.0)
    assert [len(statistics.bin_edges(values, rows)) + 1 for rows in (10, 40, 100, 9999)] == [2, 4, 10, 10]
    assert len(statistics.bin_edges(np.repeat([1.0, 2.0], 500), 1000)) == 2


def test_rare_categories_are_taken_together() -> None:
    one, two = statistics.over_categories({"a": 50, "b": 2}, {"a": 40, "c": 1, "d": 6})
    assert (one.tolist(), two.tolist()) == ([50, 0, 2], [40, 6, 1])


@given(PAIRS)
def test_psi_and_jensen_shannon_are_symmetric_and_zero_for_alike(pair: tuple[list[int], list[int]]) -> None:
    one, two = pair
    assert statistics.psi(one, one) == 0 and statistics.jensen_shannon(one, one) == pytest.approx(0, abs=1e-7)
    assert statistics.psi(one, two) >= 0 and 0 <= statistics.jensen_shannon(one, two) <= 1 + 1e-12
    assert statistics.jensen_shannon(one, two) == pytest.approx(statistics.jensen_shannon(two, one), abs=1e-9)


@given(NUMBERS, NUMBERS)
@settings(max_examples=50)
def test_every_value_falls_into_one_bin_and_distances_keep_their_range(before: list[float], now: list[float]) -> None:
    one, two = np.array(before), np.array(now)
    edges = statistics.bin_edges(one, len(two))
    assert statistics.bin_counts(two, edges).sum() == len(two)
    distance, chance = statistics.ks(one, two, len(one))
    assert 0 <= distance <= 1 and 0 <= chance <= 1
    assert statistics.ks(one, one, len(one))[0] == 0


@given(st.integers(50, 5000), st.integers(50, 5000))
@settings(max_examples=30)
def test_chance_of_a_psi_falls_with_its_size_and_the_rows(before: int, now: int) -> None:
    chances = [statistics.psi_chance(value, 10, before, now) for value in (0.0, 0.1, 0.25, 1.0)]
    assert chances[0] == 1 and chances == sorted(chances, reverse=True)
    assert statistics.psi_chance(0.1, 10, before, now * 2) <= statistics.psi_chance(0.1, 10, before, now)
