"""Which block size is fastest, and what does it cost to compile? Prints the block-size table alone."""

import rich

from simcollapse.bench import sweeps, tables
from simcollapse.bench.scale import FULL

if __name__ == "__main__":
    rich.print(tables.to_rich(tables.block_sizes({"block_sizes": sweeps.block_sizes(FULL)})))
