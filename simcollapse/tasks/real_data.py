"""The real rows of a density task: what a user names, which of them are held out, and which rows are typical."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from simcollapse import keys
from simcollapse.checks import as_float, check_shape, check_value, check_whole, numbers
from simcollapse.data import read_points
from simcollapse.tasks import point_sets
from simcollapse.tasks.point_sets import Normal, PointSet, Resampled

REFERENCE = 200  # held-out rows that the density stands on by which rows are typical
LEAST_TABLE = 10  # rows of a table, a fifth of which is held out
TYPICAL = 0.95  # share of real rows that count as correct
_SEED = 20410  # of the held-out rows and of what is typical: the same for every seed of an experiment
_TUNING = 1_000  # real rows that its bandwidth is chosen on
_CALIBRATION = 10_000  # real rows that its level is set on: the share is right to about 0.2 %


def chosen(data, noise, columns, drop_missing) -> tuple[PointSet | None, np.ndarray | None]:
    """The set that `data` names or is, or the rows of a table."""
    if hasattr(data, "columns") and hasattr(data, "variance"):
        if noise is not None or columns is not None or drop_missing:
            raise ValueError("noise, columns and drop_missing do not go with a point set")
        return data, None
    word = isinstance(data, str | Path)
    file = word and str(data) not in point_sets.KNOWN and (Path(data).suffix != "" or isinstance(data, Path))
    if not file and (columns is not None or drop_missing):
        raise ValueError(f"columns and drop_missing go with a file, got data={data!r}")
    if word and not file:
        return point_sets.named(str(data), noise), None
    if not file and numbers("data", data).ndim == 0:
        return point_sets.normal(check_whole("data", data, 1), noise), None
    if noise is not None:
        raise ValueError(f"noise goes with a toy set or a normal law, got noise={noise!r} with a table")
    rows = point_sets.checked_rows(
        read_points(data, columns=columns, drop_missing=drop_missing).X if file else data
    )
    if len(rows) < LEAST_TABLE:
        raise ValueError(f"data must have at least {LEAST_TABLE} rows, got {len(rows)}")
    return None, rows


def held_out(source, table, test) -> tuple[PointSet, np.ndarray]:
    """Where real rows come from, and the held-out ones, (T, D)."""
    wanted = check_whole("test", test, 1) if numbers("test", test).ndim == 0 else None
    dim = source.dim if source is not None else table.shape[1]
    if wanted is None:
        check_shape("test", test, (None, dim))
        check_value("test", test, "finite")
    if source is None:  # a table
        order = np.random.default_rng(_SEED).permutation(len(table))
        taken = 0 if wanted is None else min(wanted, len(table) // 5)
        source, drawn = Resampled(as_float(table[order[taken:]])), table[order[:taken]]
    else:
        drawn = _real_rows(source, wanted or 1, 0)
    rows = drawn if wanted is not None else numbers("test", test)
    if len(rows) == 0:
        raise ValueError("test must have at least one row, got none")
    return source, rows


def _real_rows(source, count, part) -> np.ndarray:
    """`count` real rows, (N, D), the same on every call; different parts are independent."""
    key = jax.random.fold_in(keys.root(_SEED), part)
    return np.asarray(_columns(key, source, count), dtype=float).T


@functools.partial(jax.jit, static_argnums=2)
def _columns(key, source, count):
    return source.columns(key, count, None)


def calibrated(source, test) -> tuple[float, float]:
    """Bandwidth of a density on held-out rows (T, D), and the level of it that typical rows reach.

    The bandwidth makes real rows likeliest. Where the real density is known, it is that, and the bandwidth 1.
    """
    if isinstance(source, Normal):
        top = float(source.log_density(jnp.zeros((source.dim, 1)))[0])
        return 1.0, float(top - stats.chi2.ppf(TYPICAL, source.dim) / 2)
    reference, rows = test[:REFERENCE], _real_rows(source, _CALIBRATION, 1)
    squares = cdist(rows, reference, "sqeuclidean")
    spread = float(np.sqrt(np.mean(source.variance)))
    widths = spread * np.geomspace(3e-3, 1, 24)
    scores = [_log_kernels(squares[:_TUNING], width, source.dim).mean() for width in widths]
    best = float(widths[int(np.argmax(scores))])
    return best, float(np.quantile(_log_kernels(squares, best, source.dim), 1 - TYPICAL))


def _log_kernels(squares, bandwidth, dim):
    """Log density at N rows, from squared distances (N, R) to the points of an estimate."""
    sums = logsumexp(-squares / (2 * bandwidth**2), axis=1)
    return sums - np.log(squares.shape[1]) - dim * np.log(bandwidth * np.sqrt(2 * np.pi))
