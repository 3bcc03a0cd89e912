"""Functions of rows, a fixed number of rows a call, so that each compiles once whatever the number of rows."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from simcollapse.neural import pools

Tree = Any
ROWS = 500  # of one call


def over_rows(function: Callable[[Tree, int], Any], rows: Tree, size: int = ROWS) -> Any:
    """`function(batch, c)` for batches c = 0, 1, … of `size` rows, its results joined along the first axis.

    The last batch is filled up with its last row; what comes back for the filling is dropped.
    """
    number = pools.count(rows)
    parts = []
    for c, at in enumerate(range(0, number, size)):
        places = np.minimum(np.arange(at, at + size), number - 1)
        present = min(size, number - at)
        out = function(pools.take(rows, places), c)
        parts.append(jax.tree.map(lambda x, n=present: np.asarray(x)[:n], out))
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)
