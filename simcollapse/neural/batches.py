"""Functions of rows, a fixed number of rows a call, so that each compiles once whatever the number of rows."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from simcollapse.neural import pools
from simcollapse.neural.settings import threads

Tree = Any
ROWS = 500  # of one call
AT_ONCE = 2  # calls


def over_rows(function: Callable[[Tree, int], Any], rows: Tree, size: int = ROWS) -> Any:
    """`function(batch, c)` for batches c = 0, 1, … of `size` rows, its results joined along the first axis.

    The last batch is filled up with its last row; what comes back for the filling is dropped. Two batches are computed
    at a time.
    """
    number = pools.count(rows)

    def part(at):
        places = np.minimum(np.arange(at, at + size), number - 1)
        out = function(pools.take(rows, places), at // size)
        return jax.tree.map(lambda x: np.asarray(x)[: number - at], out)

    with threads(AT_ONCE) as each:
        parts = list(each(part, range(0, number, size)))
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)
