"""How a run is cut into parts: what is computed, written and marked as done together.

A part is several blocks in a row. Place i of a program is one chain of one of its cells; the places of all programs
stand one after the other, each program padded to whole parts, so that a part is one chunk of every array.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from simcollapse import blocks, results
from simcollapse.checks import check_whole
from simcollapse.engine import Experiment

PART_BYTES = 16 * 2**20  # written at once; larger chunks cost a killed run more
PARTS_EACH = 4  # for each worker, so that none waits long for the last
LEAST_PARTS = 16


@dataclasses.dataclass(frozen=True)
class Layout:
    """Fixed when the run is made, whoever goes on with it: the block size decides the last bits of results."""

    block_sizes: tuple[int, ...]  # chains of one block, by program
    places: tuple[int, ...]  # chains in all, by program
    part_size: int  # places of one part

    @property
    def parts_of(self) -> list[int]:
        """Number of parts by program."""
        return [-(-places // self.part_size) for places in self.places]

    @property
    def num_parts(self) -> int:
        """Number of parts."""
        return sum(self.parts_of)

    @property
    def length(self) -> int:
        """Places of all programs, padding included."""
        return self.num_parts * self.part_size

    def part(self, number: int) -> tuple[int, int, int]:
        """Program of part `number`, and its first place and the one after its last, within the program."""
        program, first = 0, number
        while first >= self.parts_of[program]:
            first -= self.parts_of[program]
            program += 1
        begin = first * self.part_size
        return program, begin, min(begin + self.part_size, self.places[program])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}


def from_dict(plain: dict[str, Any]) -> Layout:
    """What `Layout.as_dict` returned, as a Layout again."""
    return Layout(tuple(plain["block_sizes"]), tuple(plain["places"]), plain["part_size"])


def lay_out(experiment: Experiment, workers: int = 1) -> Layout:
    """A layout for `experiment` with several parts for each of `workers` processes or devices."""
    check_whole("workers", workers, 1)
    chains = experiment.plan.chains
    places = tuple(len(program.cells) * chains for program in experiment.programs)
    largest = max(experiment.block_sizes)
    each = place_bytes(experiment)
    wanted = max(LEAST_PARTS, PARTS_EACH * workers)
    part_places = min(PART_BYTES // each, math.ceil(sum(places) / wanted), max(places))
    if experiment.plan.record == "summary":  # few cells in a part: each takes a histogram for every number
        part_places = min(part_places, chains)
    return Layout(tuple(experiment.block_sizes), places, largest * math.ceil(part_places / largest))


def place_bytes(experiment: Experiment) -> int:
    """Bytes that one chain takes in the store, before compression."""
    return results.num_bytes(experiment.shapes) + np.dtype(np.int32).itemsize * 2


def jobs(experiment: Experiment, layout: Layout, number: int) -> list[blocks.Job]:
    """The blocks of part `number`."""
    which, begin, end = layout.part(number)
    program = experiment.programs[which]
    return blocks.jobs(program, layout.block_sizes[which], experiment.plan.chains, begin, end)
