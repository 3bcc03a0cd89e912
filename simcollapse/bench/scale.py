"""How long a benchmark takes: which cases, how many repeats of how long a run."""

import dataclasses

import jax

from simcollapse.bench.timing import LEAST_REPEATS


@dataclasses.dataclass(frozen=True)
class Scale:
    """Sizes of one benchmark."""

    name: str
    dims: tuple[int, ...]
    ns: tuple[int, ...]
    law_dims: tuple[int, ...]
    law_ns: tuple[int, ...]
    run_s: float  # of one run of a baseline or of the limit
    engine_run_s: float  # of one run of the engine; longer, since a call has a fixed cost
    repeats: int = LEAST_REPEATS
    block_sizes: tuple[int, ...] = ()
    device_counts: tuple[int, ...] = ()

    @property
    def guess_factor(self) -> int:
        """A GPU or TPU needs more chains for a run of the same length."""
        return 1 if jax.local_devices()[0].platform == "cpu" else 64


FULL = Scale(
    name="full",
    dims=(1, 10, 100),
    ns=(100, 1000),
    law_dims=(1, 10, 100),
    law_ns=(100, 1000),
    run_s=0.15,
    engine_run_s=0.4,
    block_sizes=(16, 32, 64, 128, 256, 512, 1024, 4096),
    device_counts=(1, 2, 4),
)
QUICK = Scale(
    name="quick",
    dims=(10,),
    ns=(100,),
    law_dims=(10,),
    law_ns=(1000,),
    run_s=0.05,
    engine_run_s=0.1,
    block_sizes=(32, 128, 512),
    device_counts=(1, 2),
)
