"""From blocks to labelled results: whole chains, or moments and quantiles streamed over them."""

import inspect
import math
import os
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from simcollapse import chain, grid
from simcollapse.checks import check_whole
from simcollapse.streaming import QUANTILE_ERROR, STREAM_BYTES, Stream

RATES = ("acceptance_rate", "phi", "psi", "p", "p_star")
CELL_BYTES = 20_000  # that listing one cell of a grid takes, about
CPU_SHARE = 0.25  # of the machine's memory, for a block; half of it for the result


class Plan(NamedTuple):
    """What a run will produce."""

    over: dict[str, list]  # values by path
    cells: list[grid.Cell]
    rounds: int
    chains: int
    record: str
    quantiles: tuple[float, ...]
    engine: set[bool]  # whether each program draws from a law
    words: dict[str, str]  # what each metric of the tasks and verifiers is
    model_dims: dict[str, tuple[str, ...]]  # axes of the recorded model's fields, where the task names them
    undefined: tuple[str, ...] = ()  # metrics that may have no value, NaN


class Memory:
    """Memory that a block and a result may take."""

    def __init__(self, block_bytes: int | None):
        self._block_bytes = None if block_bytes is None else check_whole("memory_bytes", block_bytes, 1)
        pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        self.host_bytes = pages * page

    def device_bytes(self, device) -> int:
        """Bytes that one block may take on `device`."""
        if self._block_bytes is not None:
            return self._block_bytes
        if device.platform == "cpu":
            return int(CPU_SHARE * self.host_bytes)
        return int(CPU_SHARE * (device.memory_stats() or {}).get("bytes_limit", 8 * 2**30))

    def check_cells(self, axes: dict[str, list]) -> None:
        """Raise MemoryError when the grid of these axes has too many cells even to be listed."""
        cells = math.prod(len(values) for values in axes.values())
        if cells * CELL_BYTES > self.host_bytes / 2:
            raise MemoryError(
                f"a grid of {cells:,} cells would need about {cells * CELL_BYTES / 2**30:,.1f} GiB to be listed, "
                f"this machine has {self.host_bytes / 2**30:,.1f} GiB; use fewer grid values"
            )

    def check_result(self, needed: int) -> None:
        """Raise MemoryError when a result of so many bytes would not fit."""
        if needed > self.host_bytes / 2:
            raise MemoryError(
                f"the result would need {needed / 2**30:,.1f} GiB, "
                f"this machine has {self.host_bytes / 2**30:,.1f} GiB; "
                "use record='summary', or fewer grid values, chains or rounds"
            )


def num_bytes(tree) -> int:
    """Bytes of all arrays (or shapes) of a tree."""
    leaves = [x for x in jax.tree.leaves(tree) if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)]
    return sum(int(np.prod(x.shape)) * np.dtype(x.dtype).itemsize for x in leaves)


def collector(plan: Plan, shapes: dict[str, Any], memory: Memory, block_size: int):
    """What blocks are added to, according to `plan.record`; cells arrive in order, a block at a time.

    `shapes` are those of one chain's record (see `flatten`), each with shape and dtype.

    Raises:
        MemoryError: the result would not fit.
    """
    if plan.record == "chains":
        derived = len(RATES) * (plan.rounds + 1) * np.dtype(float).itemsize
        memory.check_result(len(plan.cells) * plan.chains * (num_bytes(shapes) + derived))
        return _Chains(plan, shapes)
    variables = (len(shapes) + len(RATES)) * (plan.rounds + 1)
    unfinished = min(len(plan.cells), block_size // plan.chains + 2)
    bytes_each = len(plan.cells) * (3 + len(plan.quantiles)) * 8 + unfinished * STREAM_BYTES
    memory.check_result(variables * bytes_each)
    return _Summary(plan)


def flatten(info: chain.Info) -> dict[str, Any]:
    """The record of a round by result variable; the model's leaves by their field names."""
    out = dict(info.metrics)
    out |= {f"num_{name}": value for name, value in info.counts._asdict().items()}
    out |= {"alive": info.alive, "reason": info.reason}
    if info.model is not None:
        out |= {f"model_{name}": value for name, value in info.model._asdict().items()}
    return out


def rates(record: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The verifier's audit from counts; NaN where a denominator is 0 or a count unknown (-1).

    acceptance_rate = kept / generated, p = incorrect / generated, phi = P(kept | correct),
    psi = P(kept | incorrect), p_star = phi / (phi + psi). Source: [Feng24], Theorem 4.2 (v2).
    """
    generated, correct = record["num_generated"], record["num_correct"]
    kept, kept_correct = record["num_kept"], record["num_kept_correct"]
    acceptance_rate = _ratio(kept, generated)
    known = correct >= 0
    if not known.any():
        nothing = np.full_like(acceptance_rate, np.nan)
        return {name: nothing for name in RATES} | {"acceptance_rate": acceptance_rate}
    if not known.all():
        correct = np.where(known, correct, np.nan)
    wrong = generated - correct
    phi, psi = _ratio(kept_correct, correct), _ratio(kept - kept_correct, wrong)
    return {
        "acceptance_rate": acceptance_rate,
        "phi": phi,
        "psi": psi,
        "p": _ratio(wrong, generated),
        "p_star": _ratio(phi, phi + psi),
    }


def _ratio(part, whole):
    """A share; 0 of 0 is NaN."""
    with np.errstate(invalid="ignore"):
        return np.divide(part, whole)


class _Chains:
    """Every chain of every cell."""

    def __init__(self, plan: Plan, shapes: dict[str, Any]):
        self._plan = plan
        lead = (len(plan.cells), plan.chains)
        self._arrays = {
            name: np.empty(lead + shape.shape, dtype=shape.dtype) for name, shape in shapes.items()
        }

    def add(self, cells, chains, valid, record):
        check_finite(record, self._plan, cells, chains, valid)
        places = cells[valid] * self._plan.chains + chains[valid]
        if np.all(np.diff(places) == 1):  # as nearly always, and copied in less time
            places = slice(places[0], places[-1] + 1)
        for name, array in self._arrays.items():
            rows = record[name] if valid.all() else record[name][valid]
            array.reshape(-1, *array.shape[2:])[places] = rows

    def first_frozen(self) -> dict[str, Any] | None:
        """Cell, chain, round and reason of the first chain that froze, None if none did."""
        alive = self._arrays["alive"]
        stopped = np.argwhere(~alive.all(axis=-1))
        if not len(stopped):
            return None
        cell, number = stopped[0]
        return _stopped(self._plan, cell, number, alive[cell, number], self._arrays["reason"][cell, number])

    def dataset(self) -> xr.Dataset:
        arrays = self._arrays | rates(self._arrays)
        shape, axes, coords = _axes(self._plan)
        variables = {}
        for name, array in arrays.items():
            extra = [f"{name}_dim_{i}" if i else "dim" for i in range(array.ndim - 3)]
            extra = list(self._plan.model_dims.get(name.removeprefix("model_"), extra))[: len(extra)]
            dims = [*axes, "chain", "round", *extra]
            variables[name] = (dims, array.reshape(shape + array.shape[1:]), describe(name, self._plan.words))
        coords |= {"chain": np.arange(self._plan.chains), "round": np.arange(self._plan.rounds + 1)}
        return xr.Dataset(variables, coords=coords, attrs=_attributes(self._plan))


def add_chains(streams: dict[str, Stream], record: dict[str, np.ndarray], here: np.ndarray) -> None:
    """Add each variable of the chains `here` (a mask) of a record to its stream, made where there is none yet."""
    for name, values in record.items():
        rows = np.asarray(values[here], dtype=float)
        if name not in streams:
            streams[name] = Stream(rows[0].size)
        streams[name].add(rows)


class _Summary:
    """Mean, variance and quantiles over chains, cell by cell, in memory that does not grow with chains."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._streams: dict[int, dict[str, Stream]] = {}
        self._left = {cell: plan.chains for cell in range(len(plan.cells))}
        self._finished: dict[str, dict[int, np.ndarray]] = {}
        self._first_frozen: dict[str, Any] | None = None

    def add(self, cells, chains, valid, record):
        check_finite(record, self._plan, cells, chains, valid)
        self.note_frozen(first_stopped(self._plan, cells, chains, valid, record))
        record = record | rates(record)
        for cell in np.unique(cells[valid]):
            here = valid & (cells == cell)
            add_chains(self._streams.setdefault(int(cell), {}), record, here)
            self._count_off(int(cell), int(here.sum()))

    def merge(self, cell: int, streams: dict[str, Stream], chains: int) -> None:
        """Add what `chains` further chains of a cell have shown."""
        mine = self._streams.setdefault(cell, streams)
        if mine is not streams:
            for name, stream in mine.items():
                stream.merge(streams[name])
        self._count_off(cell, chains)

    def _count_off(self, cell, chains):
        self._left[cell] -= chains
        if self._left[cell] == 0:
            self._finish(cell)

    def note_frozen(self, first: dict[str, Any] | None) -> None:
        """Remember which chain froze first."""
        self._first_frozen = self._first_frozen or first

    def first_frozen(self) -> dict[str, Any] | None:
        """As of `_Chains`."""
        return self._first_frozen

    def _finish(self, cell):
        for name, stream in self._streams.pop(cell).items():
            self._finished.setdefault(name, {})[cell] = stream.summary(self._plan.quantiles)

    def dataset(self) -> xr.Dataset:
        shape, axes, coords = _axes(self._plan)
        names = ["mean", "std_error", "variance", *(f"q{q:g}" for q in self._plan.quantiles)]
        variables = {}
        for name, by_cell in self._finished.items():
            array = np.stack([by_cell[cell] for cell in range(len(self._plan.cells))])
            array = array.reshape(shape + array.shape[1:])
            variables[name] = ([*axes, "statistic", "round"], array, describe(name, self._plan.words))
        coords |= {"statistic": names, "round": np.arange(self._plan.rounds + 1)}
        attributes = _attributes(self._plan) | {"quantile_relative_error": QUANTILE_ERROR}
        return xr.Dataset(variables, coords=coords, attrs=attributes)


def describe(name: str, words: dict[str, str]) -> dict[str, str]:
    """Attributes of a result variable: what it is, and its unit where it has one; metrics by `words`."""
    words = words | {
        "num_generated": "proposals judged in the round",
        "num_correct": "correct proposals; -1 unknown",
        "num_kept": "accepted proposals",
        "num_kept_correct": "accepted correct proposals; -1 unknown",
        "num_used": "rows that entered the pool",
        "acceptance_rate": "accepted / generated",
        "phi": "P(kept given correct)",
        "psi": "P(kept given incorrect)",
        "p": "incorrect / generated",
        "p_star": "phi / (phi + psi), breakdown point",
        "alive": "false once a fit failed; the chain then stays at its last model",
        "reason": "why it froze: " + "; ".join(f"{i} {word}" for i, word in enumerate(chain.REASONS)),
    }
    return {"long_name": words[name]} if name in words else {}


def frozen(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """Each frozen chain of a `record="chains"` result: cell (value by axis), chain, round and reason."""
    alive = dataset["alive"].transpose(..., "chain", "round")
    first = np.asarray(alive).argmin(axis=-1)
    stopped = ~np.asarray(alive).all(axis=-1)
    axes = alive.dims[:-2]
    out = []
    for place in np.argwhere(stopped):
        where = {axis: dataset[axis].values[i] for axis, i in zip(axes, place[:-1], strict=True)}
        k = int(first[tuple(place)])
        reason = int(dataset["reason"].transpose(..., "chain", "round").values[(*place, k)])
        out.append({"cell": where, "chain": int(place[-1]), "round": k, "reason": chain.REASONS[reason]})
    return out


def warn_frozen(dataset: xr.Dataset, first: dict[str, Any] | None) -> None:
    """Record how many chains froze and which was `first`, and warn with its cell, chain, round and reason."""
    if "statistic" in dataset.dims:
        alive = dataset["alive"].sel(statistic="mean").isel(round=-1)
        count = round(float((1 - alive).sum()) * dataset.attrs["chains"])
    else:
        count = int((~dataset["alive"].isel(round=-1)).sum())
    dataset.attrs["num_frozen"] = count
    if first is not None:
        words = _first_words(first)
        dataset.attrs["first_frozen"] = words
        total = dataset.attrs["chains"] * int(np.prod([len(dataset[a]) for a in dataset.attrs["axes"]]))
        warnings.warn(
            f"{count} of {total} chains froze (first: {words}); see `alive` and `reason`",
            stacklevel=_calls_inside(),
        )


def _calls_inside() -> int:
    """The stack level of the first caller outside this package, for a warning to name its line."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith("simcollapse."):
        frame, level = frame.f_back, level + 1
    return level


def first_stopped(plan: Plan, cells, chains, valid, record) -> dict[str, Any] | None:
    """Cell, chain, round and reason of the first valid chain of a block's record that froze, None if none did."""
    stopped = np.flatnonzero(valid & ~record["alive"].all(axis=-1))
    if not len(stopped):
        return None
    i = stopped[0]
    return _stopped(plan, cells[i], chains[i], record["alive"][i], record["reason"][i])


def _stopped(plan, cell, number, alive, reason) -> dict[str, Any]:
    """Where one chain froze; `alive` and `reason` are its own, of shape (K + 1,)."""
    k = int(np.argmin(alive))
    return where_stopped(plan, int(cell), int(number), k, int(reason[k]))


def where_stopped(plan: Plan, cell: int, number: int, k: int, reason: int) -> dict[str, Any]:
    """Cell (value by axis), chain, round and reason (in words) of a chain that froze."""
    index = plan.cells[cell].index
    where = {path: values[i] for (path, values), i in zip(plan.over.items(), index, strict=True)}
    return {"cell": where, "chain": number, "round": k, "reason": chain.REASONS[reason]}


def _first_words(item) -> str:
    cell = ", ".join(f"{axis}={value}" for axis, value in item["cell"].items())
    return f"{cell + ', ' if cell else ''}chain {item['chain']}, round {item['round']}: {item['reason']}"


def _axes(plan):
    shape = tuple(len(values) for values in plan.over.values())
    coords = {path: grid.coordinates(values) for path, values in plan.over.items()}
    return shape, list(plan.over), coords


def _attributes(plan):
    names = {frozenset({True}): "law", frozenset({False}): "sample"}
    return {"axes": list(plan.over), "engine": names.get(frozenset(plan.engine), "mixed")}


def check_finite(record, plan: Plan, cells, chains, valid) -> None:
    """Raise FloatingPointError, which names cell, chain and round, where a valid chain's metric is not finite."""
    for name, array in record.items():
        if array.dtype.kind != "f":
            continue
        wrong = np.isinf(array) if name in plan.undefined else ~np.isfinite(array)
        if not wrong[valid].any():
            continue
        bad = np.argwhere(wrong & valid.reshape(-1, *[1] * (array.ndim - 1)))[0]
        cell = plan.cells[int(cells[bad[0]])]
        where = {path: values[i] for (path, values), i in zip(plan.over.items(), cell.index, strict=True)}
        raise FloatingPointError(
            f"{name} is {array[tuple(bad)]} in cell {where}, chain {int(chains[bad[0]])}, round {int(bad[1])}"
        )
