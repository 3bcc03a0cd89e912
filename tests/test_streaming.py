import numpy as np
import pytest

from simcollapse.streaming import BINS, QUANTILE_ERROR, Histogram, Stream


def _rows():
    rows = np.random.default_rng(0).lognormal(0, 3, size=(5000, 4))
    rows[:, 1] *= -1
    rows[:, 2] = 0
    rows[::3, 3] = np.nan
    return rows


def test_pieces_give_the_moments_and_quantiles_of_the_whole():
    rows, stream = _rows(), Stream(4)
    for piece in np.array_split(rows, [10, 11, 2000]):
        stream.add(piece)
    mean, error, variance, low, middle, high = stream.summary((0.05, 0.5, 0.95))
    # 1e-11: rounding of sums of 5000 numbers
    np.testing.assert_allclose(mean, np.nanmean(rows, axis=0), rtol=1e-11)
    np.testing.assert_allclose(variance, np.nanvar(rows, axis=0, ddof=1), rtol=1e-11)
    np.testing.assert_allclose(error, np.sqrt(variance / np.sum(~np.isnan(rows), axis=0)), rtol=1e-12)
    for q, value in ((0.05, low), (0.5, middle), (0.95, high)):
        exact = np.nanquantile(rows, q, axis=0, method="lower")
        np.testing.assert_allclose(value, exact, rtol=QUANTILE_ERROR)


@pytest.mark.parametrize(("value", "median"), [(1e-200, 0.0), (-1e-200, 0.0), (-1e150, -np.inf), (0.0, 0.0)])
def test_values_out_of_range_are_nearly_zero_or_infinite(value, median):
    stream = Stream(1)
    stream.add(np.full((3, 1), value))
    np.testing.assert_allclose(stream.summary((0.5,))[3], median, atol=1e-12)


def test_entries_that_are_never_defined_stay_nan():
    stream = Stream(1)
    stream.add(np.full((3, 1), np.nan))
    assert np.all(np.isnan(stream.summary((0.5,))))


def test_merged_streams_know_what_one_stream_would():
    rows, whole, merged = _rows(), Stream(4), Stream(4)
    for piece in np.array_split(rows, 3):
        whole.add(piece)
        other = Stream(4)
        other.add(piece)
        merged.merge(other)
    np.testing.assert_allclose(merged.summary((0.1, 0.9)), whole.summary((0.1, 0.9)), rtol=1e-12)


def test_a_histogram_counts_as_a_table_of_all_bins_does_and_keeps_few():
    random, table = np.random.default_rng(1), np.zeros((3, BINS), dtype=int)
    histogram = Histogram(3)
    for middle in (1000, 1040, 980, 1010):
        entries, bins = random.integers(3, size=50), middle + random.integers(20, size=50)
        np.add.at(table, (entries, bins), 1)
        if middle == 980:
            other = Histogram(3)
            other.count(entries, bins)
            histogram.add(other.low, other.counts)
            histogram.add(0, Histogram(3).counts)  # of nothing
        else:
            histogram.count(entries, bins)
    np.testing.assert_array_equal(histogram.counts, table[:, histogram.low : histogram.high])
    assert histogram.counts.sum() == table.sum() == 200
    assert (histogram.low, histogram.high) == (
        table.any(axis=0).argmax(),
        np.flatnonzero(table.any(axis=0))[-1] + 1,
    )
    ranks = [np.full(3, r) for r in (0, 20, 40)]
    for rank, places in zip(ranks, histogram.bins_of(ranks), strict=True):
        np.testing.assert_array_equal(places, (table.cumsum(axis=1) > rank[:, None]).argmax(axis=1))
