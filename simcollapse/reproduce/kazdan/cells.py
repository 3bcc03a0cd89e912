"""The cells of a grid simulated and summarised: means with errors, and quantiles, over chains."""

import concurrent.futures
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

import simcollapse as sc
from simcollapse.reproduce.estimates import Estimate

WORKFLOWS = ("replace", "accumulate_subsample", "accumulate")  # in the order of the paper's columns
NAMES = {"replace": "replace", "accumulate_subsample": "accumulate-subsample", "accumulate": "accumulate"}
PAPER = "[Kazdan24], abstract (v4)"
DERIVED = "derived here"
DIMS, SIZES = (1, 3, 10, 31, 100), (10, 32, 100, 316, 1000)  # the paper's grid

QUANTILES = {"low": 0.05, "middle": 0.5, "high": 0.95}
BUFFER_BYTES = 2**28  # of the rows that one block holds; two blocks run at a time
LARGEST_BLOCK = 16  # chains; more are no faster
ROOMS = (100, 1000)  # rows a round up to which cells share a program with room for so many
FULL_RANK = 2  # rows over dimensions up to which a regular matrix may be all but singular
SHORT_ROW = 31  # numbers
AT_ONCE = 2  # programs: compiling one leaves part of two cores idle


class Cell(NamedTuple):
    """One place of the grid."""

    place: tuple[int, ...]
    values: Callable[[], Mapping[str, ArrayLike]]  # by name, each (chain, round); run once; makes its task
    double: bool | None = None  # precision; None: as JAX is set


def simulate(
    task: Any, workflow: str, n: int, *, rounds: int, chains: int, seed: Sequence[int], alone: bool = False
) -> xr.Dataset:
    """Chains without a verifier, n real rows and n a round; in law where there is one.

    `seed` is the figure's, followed by the place of the cell: cells share no random numbers. `alone`: no other cell
    shares its program, which then has no room for more rows.
    """
    room, size = (None, None) if alone else _shared(task, workflow, n, rounds)
    return sc.simulate(
        task,
        "none",
        workflow,
        n_real=n,
        n_per_round=n,
        rounds=rounds,
        chains=chains,
        seed=int(np.random.SeedSequence(seed).generate_state(1)[0]),
        audit=False,
        engine="auto",
        block_size=size,
        room=room,
        progress=False,
    )


def _shared(task: Any, workflow: str, n: int, rounds: int) -> tuple[int | None, int | None]:
    """Room for rows and chains of a block for a program that cells of other n share; None: the engine's own."""
    keeps_rows = workflow == "accumulate_subsample" and task.kind != "discrete"  # of which counts will do
    if not keeps_rows and not task.needs_rows:
        return None, None
    # an empty place costs less than another program to compile where rows are short and not compared with each other
    rooms = ROOMS[-1:] if not task.needs_rows and task.dim <= SHORT_ROW else ROOMS
    room = next((most for most in rooms if n <= most), n)
    if not keeps_rows:
        return room, None
    row_bytes = jnp.zeros(()).dtype.itemsize * (task.dim + 4)
    return room, int(np.clip(BUFFER_BYTES // (room * (rounds + 1) * row_bytes), 1, LARGEST_BLOCK))


def needs_double(dim: int, n: int) -> bool:
    """Whether a fit of `dim` dimensions to n rows is regular, but not by much; elsewhere single precision will do.

    It takes 0.6 of the time. Of 100 Gaussian chains a cell, both precisions gave the same within their errors (rms z
    below 1), but at d = 31, n = 32, where single precision took covariances for singular.
    """
    return dim < n <= FULL_RANK * dim


def collect(coords: Mapping[str, Sequence[Any]], groups: Sequence[Sequence[Cell]], rounds: int) -> xr.Dataset:
    """Summaries of all cells by `coords` and round; NaN where there is no cell.

    Of every value: its mean over chains under its own name, `_error`, one standard error of it, and the quantiles
    `_low`, `_middle` and `_high` of `QUANTILES`. Cells of a group share a compiled program, so they run in turn.
    """
    shape = tuple(len(values) for values in coords.values())
    arrays: dict[str, np.ndarray] = {}

    def run(group: Sequence[Cell]) -> list[dict[str, np.ndarray]]:
        return [_summary(_values(cell)) for cell in group]

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for group, found in zip(groups, pool.map(run, groups), strict=True):
            for cell, summary in zip(group, found, strict=True):
                for name, path in summary.items():
                    arrays.setdefault(name, np.full((*shape, rounds + 1), np.nan))[cell.place] = path
    dims = (*coords, "round")
    labels = {name: list(values) for name, values in coords.items()} | {"round": np.arange(rounds + 1)}
    return xr.Dataset({name: (dims, array) for name, array in arrays.items()}, coords=labels)


def _values(cell: Cell) -> dict[str, np.ndarray]:
    """In double precision, whatever they were computed in."""
    setting = contextlib.nullcontext() if cell.double is None else jax.enable_x64(cell.double)
    with setting:
        return {name: np.asarray(found, dtype=float) for name, found in cell.values().items()}


def _summary(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    out = {}
    for name, found in values.items():
        with np.errstate(over="ignore", invalid="ignore"):  # a likelihood far below every float: infinite
            out[name] = found.mean(axis=0)
            out[f"{name}_error"] = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        for word, level in QUANTILES.items():
            out[f"{name}_{word}"] = np.quantile(found, level, axis=0, method="median_unbiased")
    return out


def pooled(data: xr.Dataset, name: str, theory: xr.DataArray, over: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Mean of `name`/theory - 1 over the independent cells along `over`, and its standard error.

    Many cells together are closer to normal than each: a squared error of few dimensions is skewed.
    """
    ratio, error = data[name] / theory, data[f"{name}_error"] / theory
    return ratio.mean(over) - 1, (error**2).sum(over) ** 0.5 / ratio.notnull().sum(over)


def estimate(one: xr.Dataset, name: str) -> Estimate:
    """The mean `name` of one cell and round."""
    return Estimate(float(one[name]), float(one[f"{name}_error"]))


def largest(z: xr.DataArray) -> tuple[float, int]:
    """Largest |z|, and of how many."""
    return float(np.abs(z).max()), int(z.notnull().sum())
