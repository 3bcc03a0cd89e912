import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcollapse import keys
from simcollapse.neural.eigen import matrices, numbers
from simcollapse.neural.eigen.numbers import NAMES, encoding

WAYS = [(name, digits) for name in NAMES for digits in (1, 2, 3)] + [("P10", 7)]
PROFILE = settings(derandomize=True, deadline=None, max_examples=60)
singles = st.floats(-9e4, 9e4, width=32, allow_subnormal=False)


@pytest.mark.parametrize(("name", "digits"), WAYS)
@PROFILE
@given(x=singles)
def test_a_number_is_rounded_as_python_rounds_it(name, digits, x):
    """Python's own conversion is exact, ties to even; small numbers round to a fixed place."""
    way = encoding(name, digits, lowest=-10, highest=5)
    got = way.decode(way.encode(np.array(x)))
    small = abs(x) < 10.0 ** (digits - 1 + way.lowest)
    assert got == float(f"{x:.{-way.lowest}f}" if small else f"{x:.{digits - 1}e}")


@pytest.mark.parametrize(("name", "digits"), WAYS)
def test_every_number_there_is_comes_back_and_has_one_writing(name, digits):
    way = encoding(name, min(digits, 3), lowest=-4, highest=2)
    mantissa = np.arange(10 ** (way.digits - 1), 10**way.digits)
    values = np.outer(mantissa, [1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100])  # rounded at most once more
    values = np.concatenate([values.ravel(), -values.ravel(), [0.0]])
    tokens = way.encode(values)
    assert tokens.shape == (len(values), way.length)
    np.testing.assert_allclose(way.decode(tokens), values, rtol=4e-16)
    np.testing.assert_array_equal(way.encode(way.decode(tokens)), tokens)
    assert len(np.unique(tokens, axis=0)) == len(values)
    assert tokens.min() > numbers.START and tokens.max() == way.vocabulary - 1


@pytest.mark.parametrize("x", [9.995, 99.95, 999.5, 0.09995, 1000.0, 1e-3, 0.99999994])
def test_numbers_next_to_a_power_of_ten(x):
    x = float(np.float32(x))
    for name in NAMES:
        assert encoding(name, 3).decode(encoding(name, 3).encode(np.array(x))) == float(f"{x:.2e}")


@pytest.mark.parametrize(("name", "digits"), WAYS)
def test_digits_of_a_mantissa(name, digits):
    way = encoding(name, digits, lowest=-8)
    mantissa = np.random.default_rng(0).integers(10 ** (digits - 1), 10**digits, 50)
    tokens = way.encode(np.where(mantissa % 3 == 0, -1, 1) * mantissa / 100)
    wanted = [[int(d) for d in str(m)] for m in mantissa]
    np.testing.assert_array_equal(way.mantissa_digits(tokens), wanted)
    assert np.all(way.mantissa_digits(np.zeros_like(tokens)) == -1)
    assert np.all(way.mantissa_digits(np.full_like(tokens, way.vocabulary - 1)) == -1)
    past = tokens.copy()
    past[:, -1] = way.vocabulary  # a token that there is not
    assert np.all(np.isnan(way.decode(past)))


def test_ties_go_to_even():
    way = encoding("P1000", 2)
    np.testing.assert_array_equal(way.decode(way.encode(np.array([12.5, 13.5, -12.5]))), [12, 14, -12])


def test_what_the_tokens_say():
    said = {"P10": "+ 3 1 4 E-2", "P1000": "+ 314 E-2", "B1999": "314 E-2"}
    for name, wanted in said.items():
        way = encoding(name, 3)
        assert " ".join(way.words[t] for t in way.encode(np.array(3.14159))) == wanted
        assert len(way.words) == way.vocabulary
    assert encoding("B1999").words[encoding("B1999").encode(np.array(-2.5))[0]] == "-250"
    assert encoding("P1000").vocabulary == 1 + 2 + 1000 + 10  # start, signs, mantissas, exponents
    assert encoding("P10", 4).length == 6


@pytest.mark.parametrize("name", NAMES)
def test_tokens_that_are_no_number_are_nan(name):
    way = encoding(name, 3)
    good = way.encode(np.array(3.14))
    for place in range(way.length):
        for wrong in (numbers.START, good[-1] if place < way.length - 1 else good[0]):
            bad = good.copy()
            bad[place] = wrong
            assert np.isnan(way.decode(bad))


def test_bad_encodings():
    with pytest.raises(ValueError, match=r"digits must lie in 1\.\.3 for P1000, got 4"):
        encoding("P1000", 4)
    with pytest.raises(ValueError, match=r"digits must lie in 1\.\.7 for P10, got 8"):
        encoding("P10", 8)
    with pytest.raises(ValueError, match=r"name must be one of .* Did you mean 'B1999'"):
        encoding("B199")
    with pytest.raises(ValueError, match="lowest must be <= highest"):
        encoding("P10", lowest=2, highest=1)
    with pytest.raises(ValueError, match=r"values must be at most 99900 .* got 1e\+06"):
        encoding("P1000", 3).encode(np.array([1.0, 1e6]))
    with pytest.raises(ValueError, match="values must be finite"):
        encoding("P1000", 3).encode(np.array([1.0, np.nan]))


PROBLEM = matrices.problem(3, encoding("P1000", 3))


def test_matrices_are_symmetric_and_their_eigenvalues_those_of_what_was_written():
    rows = PROBLEM.rows(keys.root(0), 200)
    assert rows["source"].shape == (200, 27) and rows["target"].shape == (200, 9)
    matrix = PROBLEM.matrices(rows["source"])
    np.testing.assert_array_equal(matrix, matrix.swapaxes(-1, -2))
    wanted = np.linalg.eigvalsh(matrix)[:, ::-1]
    # Single precision: a few rounding errors of the largest eigenvalue.
    np.testing.assert_allclose(PROBLEM.truth(rows["source"]), wanted, atol=20 * 6e-8 * np.abs(wanted).max())
    each = np.abs(PROBLEM.values(rows["target"]) / wanted - 1)
    assert each.max() < 0.00502  # three digits
    assert PROBLEM.correct(rows).all()


def test_entries_have_the_stated_law():
    for entries in matrices.ENTRIES:
        p = dataclasses.replace(PROBLEM, entries=entries)
        a = p.matrices(p.draw(keys.root(3), 4_000))[:, *np.triu_indices(3)]
        z = (a**2 / (100 / 3) - 1).mean(axis=0) / ((a**2).std(axis=0) / (100 / 3) / np.sqrt(len(a)))
        assert np.abs(z).max() < 5.5  # 1e-6 for 24 normal variables
        assert np.abs(np.corrcoef(a.T) - np.eye(6)).max() < 5.5 / np.sqrt(len(a))
        assert (np.abs(a).max() <= 10) == (entries == "uniform")


def test_the_same_key_gives_the_same_matrices_and_more_begin_alike():
    few, many = PROBLEM.draw(keys.root(1), 30), PROBLEM.draw(keys.root(1), 1_100)
    np.testing.assert_array_equal(many[:30], few)
    assert len(np.unique(many, axis=0)) == 1_100
    assert not np.array_equal(PROBLEM.draw(keys.root(2), 30), few)
    assert PROBLEM.draw(keys.root(2), 0).shape == (0, 27)


def test_relative_errors():
    truth = np.array([[10.0, 1.0], [10.0, 0.0], [10.0, 0.0], [10.0, 1.0]])
    values = np.array([[10.1, 1.02], [10.0, 0.0], [10.0, 0.1], [np.nan, 1.0]])
    np.testing.assert_allclose(
        matrices.relative_error(values, truth, "each"), [0.02, 0, np.inf, np.inf], rtol=1e-12
    )
    np.testing.assert_allclose(
        matrices.relative_error(values, truth, "l1"), [0.12 / 11, 0, 0.01, np.inf], rtol=1e-12
    )


def test_bad_problems():
    way = encoding("P1000", 3)
    with pytest.raises(ValueError, match="size must be a whole number >= 1, got 0"):
        matrices.problem(0, way)
    for tolerance in (0.0, -0.01, np.nan):
        with pytest.raises(ValueError, match="tolerance must be positive"):
            matrices.problem(2, way, tolerance=tolerance)
    with pytest.raises(ValueError, match=r"scale must be <= 49950 for 2 x 2 matrices"):
        matrices.problem(2, way, scale=1e5)
    with pytest.raises(ValueError, match="entries must be one of"):
        matrices.problem(2, way, entries="cauchy")


def test_arrays_come_from_the_device():
    assert isinstance(matrices._draw(keys.root(0), 2, "gaussian"), jax.Array)
