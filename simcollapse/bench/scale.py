"""How long a benchmark takes: which cases, how many repeats of how long a run."""

import dataclasses

import jax

from simcollapse.bench import figures
from simcollapse.bench.cases import Case
from simcollapse.bench.generative import GenerativeCase, grid
from simcollapse.bench.mixtures import MixtureCase
from simcollapse.bench.timing import LEAST_REPEATS

GPU_BLOCKS = 16


@dataclasses.dataclass(frozen=True)
class Scale:
    """Sizes of one benchmark."""

    name: str
    dims: tuple[int, ...]
    ns: tuple[int, ...]
    designs: tuple[str, ...]
    law_dims: tuple[int, ...]
    law_ns: tuple[int, ...]
    law_designs: tuple[str, ...]
    mixtures: tuple[MixtureCase, ...]
    run_s: float  # of one run of a baseline or of the limit
    engine_run_s: float  # of one run of the engine; longer, since a call has a fixed cost
    repeats: int = LEAST_REPEATS
    block_sizes: tuple[tuple[Case, tuple[int, ...]], ...] = ()  # on CPU; elsewhere `GPU_BLOCKS` times as many
    device_counts: tuple[int, ...] = ()
    cells: tuple[GenerativeCase, ...] = ()  # of the generative grid
    cell_s: float = 0.15  # of one run of a program in one of them
    cell_repeats: int = 3
    growths: tuple[tuple[GenerativeCase, tuple[int, ...]], ...] = ()  # and the numbers of rounds of each
    figures: tuple[tuple[str, str], ...] = ()  # by name, and the scale of each

    @property
    def swept_blocks(self) -> list[tuple[Case, list[int]]]:
        """Cases and the block sizes to try for them on the device at hand."""
        factor = 1 if jax.local_devices()[0].platform == "cpu" else GPU_BLOCKS
        return [(case, [factor * size for size in sizes]) for case, sizes in self.block_sizes]

    @property
    def many_chains(self) -> int:
        """Chains of an experiment large enough that the engine takes the block size it likes best."""
        return 2**16 if jax.local_devices()[0].platform == "cpu" else 2**19


FULL = Scale(
    name="full",
    dims=(1, 10, 100),
    ns=(100, 1000),
    designs=("gaussian", "fixed"),
    law_dims=(1, 10, 100),
    law_ns=(100, 1000),
    law_designs=("gaussian", "fixed"),
    mixtures=(MixtureCase(10, 100), MixtureCase(10, 1000)),
    run_s=0.1,
    engine_run_s=0.5,
    block_sizes=(
        (Case("gaussian", 10, 100), (16, 64, 256, 1024)),
        (Case("fixed", 10, 100), (16, 64, 256, 1024)),
        (Case("fixed", 100, 1000), (16, 64, 256)),
    ),
    device_counts=(1, 2, 4),
    cells=tuple(grid()[0]),
    growths=tuple(
        (GenerativeCase(task, "accumulate", 10, 100), (25, 50, 100, 200))
        for task in ("gaussian", "kde", "discrete", "linear_regression")
    ),
    figures=tuple((name, "paper") for name in figures.FIGURES),
)
QUICK = Scale(
    name="quick",
    dims=(10,),
    ns=(100,),
    designs=("gaussian", "fixed"),
    law_dims=(10,),
    law_ns=(1000,),
    law_designs=("gaussian",),
    mixtures=(MixtureCase(10, 1000),),
    run_s=0.05,
    engine_run_s=0.3,
    cells=(GenerativeCase("gaussian", "accumulate", 3, 100),),
    cell_s=0.05,
)
